"""Every kind of input has the length, the start and the samples that ffmpeg and mpg123 decode."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from worker.tests.decoding_checks import KINDS, assert_same, load, write_wav
from worker.tests.input_kinds import FFMPEG_KINDS, InputKind, make
from worker.tests.references import decode_by_ffmpeg, require
from worker.tests.songs import noise

from common.tests.frames import id3
from msaas.containers import Decoder, recognise
from msaas.errors import DecoderMissing, UndecodableSong
from msaas_rest.api.separate.song_check import check_song
from msaas_worker.audio import decoding
from msaas_worker.audio.decoded import SAMPLERATE

pytestmark = [pytest.mark.process, pytest.mark.long]


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_song_of_any_kind_is_that_of_ffmpeg(kind: InputKind, tmp_path: Path) -> None:
    path = make(kind, tmp_path, seconds=1.5)
    assert_same(decode_by_ffmpeg(path), load(path)[1], snr_db=kind.snr_db)


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_song_needs_ffmpeg_exactly_if_its_kind_says_so(
    kind: InputKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`rest` refuses songs by their kind, where no worker has ffmpeg."""
    path = make(kind, tmp_path, seconds=1.5)
    container = recognise(path.read_bytes())
    assert container
    assert (container.decoder is Decoder.FFMPEG) == (kind in FFMPEG_KINDS)
    monkeypatch.setattr(decoding, "find_ffmpeg", lambda: None)
    if kind in FFMPEG_KINDS:
        with pytest.raises(DecoderMissing, match=f"{container.name} needs ffmpeg"):
            load(path)
    else:
        assert load(path)[0].samples >= 1.4 * SAMPLERATE


@pytest.mark.parametrize(
    "rate_hz", [8000, 11_025, 16_000, 37_800, 44_056, 47_999, 48_000, 88_200, 96_000, 176_400, 192_000]
)
def test_sample_rates_of_8_to_192_khz_are_resampled(rate_hz: int, tmp_path: Path) -> None:
    path = make(KINDS["wav pcm_s24le"], tmp_path, seconds=2, rate_hz=rate_hz)
    song, audio = load(path)
    assert (song.source_hz, song.source_samples, song.samples) == (rate_hz, 2 * rate_hz, 2 * SAMPLERATE)
    assert_same(decode_by_ffmpeg(path), audio, snr_db=100)


def test_floats_above_full_scale_are_kept(tmp_path: Path) -> None:
    loud = noise(SAMPLERATE, gain=5)
    assert np.abs(loud).max() > 5
    assert np.array_equal(load(write_wav(loud, tmp_path))[1], loud)


def test_samples_that_are_no_numbers_are_silence(tmp_path: Path) -> None:
    audio = noise(SAMPLERATE)
    audio[:, 100], audio[0, 200], audio[1, 300] = np.nan, np.inf, -np.inf
    found = load(write_wav(audio, tmp_path))[1]
    assert np.array_equal(found, np.where(np.isfinite(audio), audio, 0))


def test_name_of_a_file_does_not_matter(tmp_path: Path) -> None:
    path = make(KINDS["flac flac -sample_fmt s16"], tmp_path, seconds=0.5)
    audio = load(path)[1]
    assert np.array_equal(load(path.rename(tmp_path / "song.mp3"))[1], audio)


@pytest.mark.parametrize("arguments", ["-c:a aac", "-c:a aac -movflags frag_keyframe+empty_moov"])
@pytest.mark.parametrize("tag", [id3(300) + bytes(300), (id3(300) + bytes(300)) * 2])
def test_mp4_behind_tags_is_decoded(tag: bytes, arguments: str, tmp_path: Path) -> None:
    """ffmpeg takes it for AAC without container, and decodes nothing."""
    path = make(InputKind(name="mp4", ending="mp4", arguments=arguments), tmp_path, seconds=1.5)
    audio = load(path)[1]
    path.write_bytes(tag + path.read_bytes())
    with open(path, "rb+") as file:
        assert check_song(file, max_s=600).container.name == "MP4"
    assert np.array_equal(load(path)[1], audio)


def test_song_that_only_ffmpeg_decodes_names_it_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(KINDS["m4a aac"], tmp_path, seconds=0.5)
    monkeypatch.setattr(decoding, "find_ffmpeg", lambda: None)
    with pytest.raises(DecoderMissing, match="MP4 needs ffmpeg, which is not installed"):
        load(path)


def test_video_without_sound_is_undecodable(tmp_path: Path) -> None:
    require("ffmpeg")
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=d=1:s=64x64:r=5"]
    subprocess.run([*command, str(tmp_path / "silent.mp4")], check=True)
    with pytest.raises(UndecodableSong, match="no sound"):
        load(tmp_path / "silent.mp4")
