"""MPEG songs have the samples of mpg123, and tags, joints and damage leave them in their place."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from worker.tests import mpeg_kinds
from worker.tests.decoding_checks import assert_same, decode_clean, load, load_bytes
from worker.tests.mpeg_kinds import MPEG_FILES
from worker.tests.references import compare, decode_by_ffmpeg, decode_by_mpg123, require, right_share

from msaas_worker.audio.decoded import SAMPLERATE

pytestmark = [pytest.mark.process, pytest.mark.long]


@pytest.mark.parametrize("name", [*mpeg_kinds.ENCODED, *mpeg_kinds.SHORT, *mpeg_kinds.LOUD])
def test_song_of_an_encoder_is_that_of_both_references(name: str, tmp_path: Path) -> None:
    require("ffmpeg", "mpg123")
    path, audio = load_bytes(MPEG_FILES[name]().content, tmp_path)
    by_ffmpeg, by_mpg123 = decode_by_ffmpeg(path), decode_by_mpg123(path)
    assert audio.shape[-1] == pytest.approx(by_ffmpeg.shape[-1], abs=1)
    if name != "VBRI":  # mpg123 plays this Info frame as a silent one.
        assert by_mpg123.shape[-1] == pytest.approx(by_ffmpeg.shape[-1], abs=1)
    found = compare(by_ffmpeg, audio)
    assert found.lag == 0
    # ffmpeg has another joint stereo of MPEG-2, and 16-bit arithmetic for layer I.
    assert found.snr_db >= {"MPEG-2, 24 kHz": 15, "layer I": 55}.get(name, 60)


@pytest.mark.parametrize(
    "name", [*mpeg_kinds.FREE_FORMAT, "layer I", "variable bit rate", "first frames deleted"]
)
def test_song_is_that_of_mpg123_to_the_bit(name: str, tmp_path: Path) -> None:
    require("mpg123")
    path = tmp_path / "song.mp3"
    path.write_bytes(MPEG_FILES[name]().content)
    song, audio = load(path)
    reference = decode_by_mpg123(path, rate_hz=song.source_hz)
    assert reference.shape[-1] == song.source_samples
    if song.source_hz == SAMPLERATE:
        assert np.array_equal(audio, reference)


def test_mpeg_2_song_on_which_the_references_differ_is_that_of_mpg123(tmp_path: Path) -> None:
    require("mpg123")
    path, audio = load_bytes(MPEG_FILES["MPEG-2, 24 kHz"]().content, tmp_path)
    soundfile.write(tmp_path / "song.wav", decode_by_mpg123(path, rate_hz=24_000).T, 24_000, subtype="FLOAT")
    assert_same(load(tmp_path / "song.wav")[1], audio, snr_db=120)


@pytest.mark.parametrize(
    "name",
    [
        *(*mpeg_kinds.TAGGED, *mpeg_kinds.JOINED, *mpeg_kinds.DAMAGED, "cut in the Info frame"),
        *("Info frame without fields", "Xing frame without fields"),
    ],
)
def test_tags_joints_and_damage_leave_the_song_in_its_place(name: str, tmp_path: Path) -> None:
    made = MPEG_FILES[name]()
    _, audio = load_bytes(made.content, tmp_path)
    reference = decode_clean(made, tmp_path)
    assert audio.shape[-1] == pytest.approx(reference.shape[-1], abs=len(made.clean) or 1)
    assert right_share(reference, audio) >= (made.share if len(made.clean) < 2 else 0.98)
    assert np.abs(audio).max() < 2 * np.abs(reference).max()


@pytest.mark.parametrize(
    ("name", "samples"),
    [
        ("Info frame tells 7 frames", 4 * SAMPLERATE + 1055),
        ("Info frame tells too many frames", 4 * SAMPLERATE + 1055),
        ("largest delay and padding", 155 * 1152 - (4095 + 529) - (4095 - 529)),
        ("no delay, no padding", 155 * 1152 - 529),
    ],
)
def test_facts_of_the_info_frame_are_used_as_far_as_they_can_be_true(
    name: str, samples: int, tmp_path: Path
) -> None:
    _, audio = load_bytes(MPEG_FILES[name]().content, tmp_path)
    assert audio.shape[-1] == samples


def test_frames_that_need_lost_bytes_are_silent_and_not_noise(tmp_path: Path) -> None:
    _, audio = load_bytes(MPEG_FILES["first frames deleted"]().content, tmp_path)
    assert not audio[:, :1152].any()
    assert np.abs(audio).max() < 1


@pytest.mark.parametrize("name", mpeg_kinds.LOUD)
def test_loud_song_is_decoded_above_full_scale(name: str, tmp_path: Path) -> None:
    assert np.abs(load_bytes(MPEG_FILES[name]().content, tmp_path)[1]).max() > 1.1
