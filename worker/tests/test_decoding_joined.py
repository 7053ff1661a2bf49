"""Joined files, and pages of Ogg files that lost bytes."""

from pathlib import Path

import numpy as np
import pytest
from worker.tests.decoding_checks import KINDS, load
from worker.tests.input_kinds import JOINED_KINDS, make, make_joined
from worker.tests.references import decode_by_ffmpeg, right_share

from msaas.ogg import find_ogg_links
from msaas_worker.audio import decoding
from msaas_worker.audio.decoded import SAMPLERATE, Audio

pytestmark = [pytest.mark.process, pytest.mark.long]


@pytest.mark.parametrize("has_ffmpeg", [False, True], ids=["without ffmpeg", "with ffmpeg"])
@pytest.mark.parametrize("name", JOINED_KINDS)
def test_joined_songs_are_decoded_one_behind_the_other(
    name: str, has_ffmpeg: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, parts = make_joined(name, tmp_path, seconds=1.5)
    if not has_ffmpeg:
        monkeypatch.setattr(decoding, "find_ffmpeg", lambda: None)
    assert_one_behind_the_other([decode_by_ffmpeg(part) for part in parts], load(path)[1])


def assert_one_behind_the_other(parts: list[Audio], audio: Audio) -> None:
    reference = np.concatenate(parts, axis=-1)
    assert audio.shape[-1] == pytest.approx(reference.shape[-1], abs=len(parts))
    assert right_share(reference, audio) >= 0.98


@pytest.mark.parametrize("between", [b"TAG" + bytes(125), b"ID3\4\0\0\0\0\1\0" + bytes(128), bytes(5000)])
@pytest.mark.parametrize("name", ["two Ogg Vorbis", "two Opus", "two FLAC by libsndfile", "two Ogg FLAC"])
def test_other_bytes_between_joined_songs_take_no_time(name: str, between: bytes, tmp_path: Path) -> None:
    _, parts = make_joined(name, tmp_path, seconds=1.5)
    path = tmp_path / "song"
    path.write_bytes(between.join(part.read_bytes() for part in parts))
    assert_one_behind_the_other([decode_by_ffmpeg(part) for part in parts], load(path)[1])


@pytest.mark.parametrize("name", ["ogg libvorbis with a video", "ogg libopus with a video"])
def test_lost_bytes_of_a_video_leave_the_sound(name: str, tmp_path: Path) -> None:
    """A page that lost bytes does not tell where the next one begins."""
    whole = make(KINDS[name], tmp_path, seconds=4.0)
    data = whole.read_bytes()
    link = next(find_ogg_links(data))
    # Without them the page of the video in front of this one seems to end within it.
    page = max(list(link.pages(data))[2:], key=lambda page: page.end - page.start)
    damaged = tmp_path / "damaged.ogv"
    damaged.write_bytes(data[: page.start - 600] + data[page.start - 100 :])
    assert load(damaged)[0].samples == load(whole)[0].samples


def test_damaged_part_of_joined_songs_does_not_end_the_song(tmp_path: Path) -> None:
    _, parts = make_joined("three Ogg Vorbis", tmp_path, seconds=1.5)
    contents = [part.read_bytes() for part in parts]
    contents[1] = contents[1][:58] + bytes(3000) + contents[1][3058:]
    path = tmp_path / "song"
    path.write_bytes(b"".join(contents))
    assert load(path)[0].samples >= 2 * 1.5 * SAMPLERATE
