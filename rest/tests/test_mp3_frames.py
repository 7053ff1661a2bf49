"""The length of an MP3 is the sum of its frames, not the claim of a header."""

import threading
import time
from contextlib import suppress
from tempfile import TemporaryFile

import psutil
import pytest
import sphn
from hypothesis import given
from hypothesis import strategies as st
from rest.tests.service import FRAME, SONG

from msaas.errors import NotAnMp3, SongTooLong
from msaas_rest.api.separate.mp3_frames import check_length

#: MPEG-2.5, layer III, 8 kbit/s, 8 kHz: 72 bytes, 576 samples.
SLOW_FRAME = b"\xff\xe3\x18\x00" + bytes(68)
#: The same at 48 kHz: 384 bytes.
FRAME_48K = b"\xff\xfb\x94\x00" + bytes(380)
FRAME_S = 1152 / 44100


def length_s(mp3: bytes, *, max_s: float = 1e9) -> float:
    with TemporaryFile() as file:
        file.write(mp3)
        return check_length(file, max_s=max_s)


def id3(size: int, *, flags: int = 0) -> bytes:
    digits = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x04\x00" + bytes([flags]) + digits


def test_length_of_a_real_song_is_that_of_its_samples() -> None:
    samples, rate = sphn.read(str(SONG))
    assert length_s(SONG.read_bytes()) == pytest.approx(samples.shape[-1] / rate, abs=0.1)


@pytest.mark.parametrize(
    "mp3",
    [
        FRAME * 10,
        id3(1000) + bytes(1000) + FRAME * 10,
        id3(10, flags=0x10) + bytes(20) + FRAME * 10,
        id3(5) + bytes(5) + id3(7) + bytes(7) + FRAME * 10,
        b"APETAGEX" + bytes(4) + (40).to_bytes(4, "little") + bytes(16) + bytes(40) + FRAME * 10,
        bytes(4096) + FRAME * 10,
        FRAME * 10 + b"TAG" + bytes(125),
        FRAME * 5 + b"garbage between frames.." + FRAME * 5,
        b"\xff\xfb\x90\x00" + b"Xing\x00\x00\x00\x0f" + b"\xff" * 405 + FRAME * 9,
    ],
    ids=["plain", "ID3", "footer", "two tags", "APE", "padding", "ID3v1", "amid", "forged Xing"],
)
def test_tags_and_garbage_do_not_count(mp3: bytes) -> None:
    assert length_s(mp3) == pytest.approx(10 * FRAME_S, abs=2 * FRAME_S)


@pytest.mark.parametrize(
    "body",
    [
        FRAME * 2,
        FRAME[:-1] * 10,
        id3(1 << 27) + FRAME * 10,
        id3(5) + bytes(5),
        bytes(100_000) + FRAME * 10,
        b"\xff\xfd\x90\x00" * 100,
        b"\xff\xfb\x00\x00" * 100,
        b"\xff\xfb\xf0\x00" * 100,
        b"\xff\xfb\x9c\x00" * 500,
        b"\xff\xeb\x90\x00" * 500,
        (FRAME + FRAME_48K) * 10,
    ],
    ids=[
        "two",
        "short",
        "tag beyond the end",
        "tag only",
        "late",
        "layer II",
        "free",
        "bad rate",
        "no rate",
        "no version",
        "mixed",
    ],
)
def test_body_without_a_chain_of_frames_is_not_an_mp3(body: bytes) -> None:
    with pytest.raises(NotAnMp3):
        length_s(body)


def test_small_file_of_eight_hours_is_too_long() -> None:
    with pytest.raises(SongTooLong):
        length_s(SLOW_FRAME * (8 * 3600 * 1000 // 72), max_s=7200)


def test_song_of_exactly_the_limit_is_not_too_long() -> None:
    assert length_s(FRAME * 10, max_s=10 * FRAME_S + 1e-9) == pytest.approx(10 * FRAME_S)
    with pytest.raises(SongTooLong):
        length_s(FRAME * 11, max_s=10 * FRAME_S + 1e-9)


def test_hostile_file_of_near_frames_is_read_in_2_s() -> None:
    started = time.monotonic()
    length_s(FRAME * 3 + b"\xff\xfb\x90\x00" * 5_000_000)
    assert time.monotonic() - started < 2


@given(st.binary(max_size=3000), st.binary(max_size=3000))
def test_any_bytes_have_a_length_or_are_not_an_mp3(before: bytes, after: bytes) -> None:
    with suppress(NotAnMp3):
        assert length_s(before + FRAME * 3 + after + b"x") > 0


def test_memory_stays_flat_while_a_large_file_is_read() -> None:
    """A mapped file counts as memory of the process for as long as its pages are not released."""
    peak_bytes = 0
    process = psutil.Process()

    def watch() -> None:
        nonlocal peak_bytes
        while not done.is_set():
            peak_bytes = max(peak_bytes, process.memory_info().rss)

    with TemporaryFile() as file:
        for _ in range(100):
            file.write(FRAME * (1024 * 1024 // len(FRAME)))
        done = threading.Event()
        before_bytes = process.memory_info().rss
        watcher = threading.Thread(target=watch)
        watcher.start()
        check_length(file, max_s=1e9)
        done.set()
        watcher.join()
    assert 0 < peak_bytes - before_bytes < 24 * 1024 * 1024
