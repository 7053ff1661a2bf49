"""The length of an MP3 is what its frames say."""

import time
from contextlib import suppress
from tempfile import TemporaryFile

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


def test_a_real_song_is_as_long_as_it_sounds() -> None:
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
        FRAME * 5 + b"garbage that is no frame" + FRAME * 5,
        b"\xff\xfb\x90\x00" + b"Xing\x00\x00\x00\x0f" + b"\xff" * 405 + FRAME * 9,
    ],
    ids=["plain", "ID3", "footer", "two tags", "APE", "padding", "ID3v1", "amid", "forged Xing"],
)
def test_only_frames_count(mp3: bytes) -> None:
    assert length_s(mp3) == pytest.approx(10 * FRAME_S, abs=2 * FRAME_S)


@pytest.mark.parametrize(
    "no_mp3",
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
def test_what_is_no_chain_is_no_mp3(no_mp3: bytes) -> None:
    with pytest.raises(NotAnMp3):
        length_s(no_mp3)


def test_eight_hours_in_few_bytes_are_too_long() -> None:
    with pytest.raises(SongTooLong):
        length_s(SLOW_FRAME * (8 * 3600 * 1000 // 72), max_s=7200)


def test_the_limit_itself_is_not_too_long() -> None:
    assert length_s(FRAME * 10, max_s=10 * FRAME_S + 1e-9) == pytest.approx(10 * FRAME_S)
    with pytest.raises(SongTooLong):
        length_s(FRAME * 11, max_s=10 * FRAME_S + 1e-9)


def test_a_file_of_near_frames_takes_no_time() -> None:
    started = time.monotonic()
    length_s(FRAME * 3 + b"\xff\xfb\x90\x00" * 5_000_000)
    assert time.monotonic() - started < 2


@given(st.binary(max_size=3000), st.binary(max_size=3000))
def test_any_bytes_have_a_length_or_a_name(before: bytes, after: bytes) -> None:
    with suppress(NotAnMp3):
        assert length_s(before + FRAME * 3 + after + b"x") > 0
