"""A song is refused at once for what its bytes tell, and for nothing that they do not tell."""

import io
import struct
import tracemalloc
import wave
from contextlib import suppress
from tempfile import TemporaryFile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest.tests.service import SONG

from common.tests.frames import FRAME, SLOW, id3, info_frame
from msaas.errors import NotAudio, SongTooLong, UndecodableSong
from msaas_rest.api.separate.song_check import CheckedSong, check_song

FRAME_S = 1152 / 44100
NO_AUDIO = [b"\0", b"not a song" * 1000, id3(5) + bytes(5), b"%PDF-1.7" + bytes(5000), FRAME * 2 + b"x"]


def check(content: bytes, *, max_s: float = 1e9) -> CheckedSong:
    with TemporaryFile() as file:
        file.write(content)
        return check_song(file, max_s=max_s)


def wav(seconds: int, *, rate_hz: int = 8000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, rate_hz, 0, "NONE", ""))
        writer.writeframes(bytes(2 * rate_hz * seconds))
    return file.getvalue()


def flac_header(samples: int) -> bytes:
    facts = 44100 << 44 | 1 << 41 | 15 << 36 | samples
    return b"fLaC\x80\0\0\x22" + struct.pack(">HH", 4096, 4096) + bytes(6) + facts.to_bytes(8) + bytes(16)


def test_length_of_an_mp3_is_that_of_its_frames() -> None:
    checked = check(SONG.read_bytes())
    assert (checked.container.name, round(checked.seconds or 0)) == ("MP3", 18)


def test_lost_frames_count() -> None:
    assert check(FRAME * 5 + bytes(len(FRAME) * 7) + FRAME * 5).seconds == pytest.approx(17 * FRAME_S)


def test_song_of_exactly_the_limit_is_not_too_long() -> None:
    assert check(FRAME * 10, max_s=10 * FRAME_S + 1e-9).seconds == pytest.approx(10 * FRAME_S)
    with pytest.raises(SongTooLong):
        check(FRAME * 11, max_s=10 * FRAME_S + 1e-9)


@pytest.mark.parametrize("frames", [None, 4])
def test_mp3_whose_delay_and_padding_leave_no_sound_is_undecodable(frames: int | None) -> None:
    """ffmpeg and mpg123 play nothing of it either."""
    silent = info_frame(frames=frames, delay=4095, padding=4095)
    with pytest.raises(UndecodableSong, match="The MP3 has no sound"):
        check(silent + FRAME * 4)
    with pytest.raises(UndecodableSong, match="The MP3 has no sound"):
        check((silent + FRAME * 4) * 3)


def test_delay_and_padding_do_not_count_as_length() -> None:
    song = info_frame(frames=10, delay=1105 - 529, padding=529 + 1000) + FRAME * 10
    assert check(song).seconds == pytest.approx(10 * FRAME_S - (1105 + 1000) / 44100)
    silent = info_frame(frames=4, delay=4095, padding=4095) + FRAME * 4
    assert check(silent + song).seconds == check(song).seconds


def test_joined_songs_are_too_long_together() -> None:
    song = info_frame(frames=10, delay=1105 - 529, padding=529 + 1000) + FRAME * 10
    seconds = check(song).seconds or 0
    assert check(song * 3, max_s=3 * seconds + 1e-6).seconds == pytest.approx(3 * seconds)
    with pytest.raises(SongTooLong):
        check(song * 3, max_s=3 * seconds - 1e-6)


def atom(name: bytes, size: int = 8) -> bytes:
    return struct.pack(">I", size) + name + bytes(max(0, size - 8))


FTYP = atom(b"ftyp", 24)
CAF = b"caff\0\1\0\0desc" + (32).to_bytes(8) + bytes(8) + b"lpcm" + bytes(20)


@pytest.mark.parametrize(
    "content",
    [
        wav(1)[:20],
        wav(1)[:40],
        wav(1)[:44],
        b"FORM\0\0\1\0AIFFCOMM\0\0\0\x12" + bytes(18),
        b"FORM\0\0\1\0AIFFCOMM\0\0\0\x12" + bytes(18) + b"SSND" + bytes(12),
        CAF,
        CAF + b"data" + bytes(12),
        b"riff\x2e\x91\xcf\x11" + bytes(60),
    ],
)
def test_file_that_ends_before_its_samples_is_undecodable(content: bytes) -> None:
    with pytest.raises(UndecodableSong, match="it ends before its samples begin"):
        check(content)


def test_file_with_one_sample_is_accepted() -> None:
    assert check(wav(1)[:46]).container.name == "WAV"
    assert check(CAF + b"data" + bytes(13)).container.name == "CAF"


@pytest.mark.parametrize(
    "content",
    [
        FTYP,
        FTYP + atom(b"free") + atom(b"mdat", 5000),
        FTYP + atom(b"mdat", 5000)[:900],
        FTYP + b"\0\0\0\0mdat" + bytes(900),
        FTYP + b"\0\0\0\1mdat" + (5000).to_bytes(8) + bytes(900),
    ],
)
@pytest.mark.parametrize("tag", [b"", id3(300) + bytes(300)], ids=["", "ID3v2"])
def test_mp4_without_index_is_undecodable(tag: bytes, content: bytes) -> None:
    """ffmpeg tells `moov atom not found` of each."""
    content = tag + content
    with pytest.raises(UndecodableSong, match="The MP4 file has no index"):
        check(content)


@pytest.mark.parametrize(
    "content",
    [
        FTYP + atom(b"mdat", 5000) + atom(b"moov", 20),
        FTYP + atom(b"moov", 20) + atom(b"mdat", 5000)[:900],
        FTYP + b"\0\0\0\1mdat" + (916).to_bytes(8) + bytes(900) + atom(b"moov", 20),
        FTYP + atom(b"moof", 20),
        FTYP + b"\0\0\0\3free" + bytes(900),
        FTYP + atom(b"free") * 20_000,
    ],
)
@pytest.mark.parametrize("tag", [b"", id3(300) + bytes(300)], ids=["", "ID3v2"])
def test_mp4_that_may_have_an_index_is_left_to_the_worker(tag: bytes, content: bytes) -> None:
    assert check(tag + content).container.name == "MP4"


def test_small_file_of_eight_hours_is_too_long() -> None:
    with pytest.raises(SongTooLong):
        check(SLOW * (8 * 3600 * 1000 // 72), max_s=7200)


def test_header_that_tells_too_long_a_song_is_refused() -> None:
    assert check(wav(20), max_s=21).seconds == pytest.approx(20)
    with pytest.raises(SongTooLong):
        check(wav(20), max_s=19)


def test_wav_from_a_pipe_is_as_long_as_its_bytes() -> None:
    content = bytearray(wav(20))
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    assert check(bytes(content), max_s=21).seconds == pytest.approx(20, abs=0.1)


@pytest.mark.parametrize(
    "content", [flac_header(0), flac_header(20 * 44100), b".snd" + bytes(40), b"\x1a\x45\xdf\xa3" + bytes(40)]
)
def test_length_that_no_header_tells_is_unknown(content: bytes) -> None:
    assert check(content, max_s=1).seconds is None


@pytest.mark.parametrize("content", NO_AUDIO)
def test_other_files_are_no_audio(content: bytes) -> None:
    with pytest.raises(NotAudio):
        check(content)


def test_atom_that_claims_the_whole_file_is_not_read() -> None:
    content = struct.pack(">I", 8 + 50_000_000) + b"moov" + struct.pack(">I", 50_000_000) + b"mvhd"
    with TemporaryFile() as file:
        file.write(b"\0\0\0\x10ftypM4A \0\0\0\0" + content)
        file.truncate(50_000_000)
        tracemalloc.start()
        assert check_song(file, max_s=1e9).seconds is None
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak_bytes < 8 * 1024 * 1024


@given(
    st.sampled_from([b"RIFF\0\0\0\0WAVE", b"fLaC", b"OggS", b"\0\0\0\x10ftypM4A ", b"FORM\0\0\0\0AIFF"]),
    st.binary(),
)
def test_any_bytes_are_checked_or_no_audio(start: bytes, rest: bytes) -> None:
    with suppress(NotAudio, UndecodableSong):
        assert check(start + rest + b"\0" * 40, max_s=1e12)
