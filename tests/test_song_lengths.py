"""The length that `rest` tells is right, or unknown."""

import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from worker.tests.input_kinds import FFMPEG_KINDS, JOINED_KINDS, SNDFILE_KINDS, InputKind, make, make_joined
from worker.tests.references import require
from worker.tests.songs import noise

from msaas.errors import NotAudio, SongTooLong, UndecodableSong
from msaas.ogg import OggLink, Page, find_ogg_links
from msaas_rest.api.separate.song_check import CheckedSong, check_song

pytestmark = pytest.mark.process

KINDS = {kind.name: kind for kind in (*SNDFILE_KINDS, *FFMPEG_KINDS)}
#: tinytag does not read their headers, or the header counts packets.
UNTOLD = ("RF64", "wav libgsm_ms", "aiff adpcm_ima_qt")
SECONDS = 2.0
TEN_HOURS_S = 36_000
OGG = ("ogg libvorbis", "opus libopus", "ogg flac")


def check(path: Path, *, max_s: float = 7200) -> CheckedSong:
    with open(path, "rb+") as file:
        return check_song(file, max_s=max_s)


def write(content: bytes, folder: Path) -> Path:
    path = folder / "song"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_length_of_a_song_of_any_kind_is_right_or_unknown(kind: InputKind, tmp_path: Path) -> None:
    checked = check(make(kind, tmp_path, seconds=SECONDS))
    assert checked.seconds is None or checked.seconds == pytest.approx(SECONDS, abs=0.1)
    is_told = checked.container.name in ("WAV", "AIFF", "FLAC", "Ogg", "Opus", "MP4", "WMA")
    assert (checked.seconds is not None) == (is_told and kind.name not in UNTOLD)


@pytest.mark.parametrize("name", JOINED_KINDS)
def test_length_of_joined_songs_is_their_sum(name: str, tmp_path: Path) -> None:
    path, parts = make_joined(name, tmp_path, seconds=SECONDS)
    whole_s = len(parts) * SECONDS
    assert check(path, max_s=whole_s + 0.1).seconds == pytest.approx(whole_s, abs=0.1)
    with pytest.raises(SongTooLong):
        check(path, max_s=whole_s - 0.1)


@pytest.mark.parametrize("name", OGG)
def test_recording_whose_positions_begin_at_ten_hours_is_not_too_long(name: str, tmp_path: Path) -> None:
    content = make(KINDS[name], tmp_path, seconds=10).read_bytes()
    late = write(move_positions(content, by_s=TEN_HOURS_S), tmp_path)
    assert 5 < (check(late).seconds or 0) < 10.1


@pytest.mark.parametrize("name", OGG)
def test_damaged_position_of_the_last_page_does_not_count(name: str, tmp_path: Path) -> None:
    content = bytearray(make(KINDS[name], tmp_path, seconds=10).read_bytes())
    content[content.rfind(b"OggS") + 6 + 4] ^= 0x80
    assert 5 < (check(write(content, tmp_path)).seconds or 0) < 10.1


def move_positions(content: bytes, *, by_s: int) -> bytes:
    """Return the Ogg file as a radio station sends it to a late listener."""
    (link,) = find_ogg_links(content)
    samples = by_s * (48_000 if link.codec == "Opus" else 44_100)
    moved = (_move(content, page, samples=samples) for page in link.pages(content))
    return b"".join(moved)


def _move(content: bytes, page: Page, *, samples: int) -> bytes:
    granule = page.granule + samples if page.granule > 0 else page.granule
    head = bytearray(content[page.start : page.end])
    head[6:14], head[22:26] = granule.to_bytes(8, "little", signed=True), bytes(4)
    head[22:26] = ogg_checksum(head).to_bytes(4, "little")
    return bytes(head)


def ogg_checksum(data: bytes) -> int:
    """Divide by the polynomial of RFC 3533."""
    crc = 0
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x1_04C1_1DB7 if crc & 0x8000_0000 else 0)) & 0xFFFF_FFFF
    return crc


@pytest.mark.parametrize("declared", [0, 1, 2**30, 2**35, 2**36 - 1])
@pytest.mark.parametrize("name", ["flac by libsndfile", "flac flac -sample_fmt s16"])
def test_wrong_number_of_samples_in_a_flac_does_not_count(name: str, declared: int, tmp_path: Path) -> None:
    content = make(KINDS[name], tmp_path, seconds=SECONDS).read_bytes()
    number = int.from_bytes(content[18:26]) >> 36 << 36 | declared
    path = write(content[:18] + number.to_bytes(8) + content[26:], tmp_path)
    assert check(path).seconds == pytest.approx(SECONDS, abs=0.01)


def test_length_of_a_silent_flac_is_known(tmp_path: Path) -> None:
    path = tmp_path / "silent.flac"
    soundfile.write(path, noise(100 * 8000, gain=0)[0], 8000)
    assert check(path).seconds == pytest.approx(100, abs=30)


def test_claim_of_an_mp4_that_its_size_cannot_hold_does_not_count(tmp_path: Path) -> None:
    content = bytearray(make(KINDS["m4a aac"], tmp_path, seconds=SECONDS).read_bytes())
    for header in (b"mvhd", b"mdhd"):
        at = content.find(header) + 4 + 16
        content[at] |= 0x40
    assert check(write(content, tmp_path)).seconds is None


def hostile_files() -> Iterator[bytes]:
    """Files that are all headers, of 4 MB."""
    yield b"fLaC\x80\0\0\x22" + bytes(34) + b"\xff\xf8\xc9\x18\0\xc2" * 700_000
    yield b"fLaC" + bytes(4_000_000)
    yield b"fLaC\0\0\0\x22" * 500_000
    page = b"OggS\0\2" + bytes(20) + b"\1\x08OpusHead"
    yield page * 110_000
    yield (page + page.replace(b"\0\2", b"\0\0")) * 55_000
    yield page.ljust(60, b"O") + (b"OggS\0\0" + bytes(20) + b"\0") * 140_000
    # Each link has 200 pages of 65 kB that lie over each other, with a position and a wrong checksum.
    overlapping = (b"OggS\0\0" + struct.pack("<q", 99) + bytes(12) + b"\xff" + b"\xff" * 255) * 200
    yield (page + overlapping + bytes(70_000)) * 40


@pytest.mark.parametrize("content", list(hostile_files()), ids=range(7))
@pytest.mark.timeout(20)
def test_file_of_headers_is_checked_within_seconds(content: bytes, tmp_path: Path) -> None:
    with suppress(NotAudio, UndecodableSong, SongTooLong):
        check(write(content, tmp_path))


@given(st.integers(0, 2**32), st.sampled_from(["ogg libvorbis", "opus libopus", "flac by libsndfile"]))
def test_damaged_file_is_measured_or_not(seed: int, name: str) -> None:
    require("ffmpeg")
    random, content = Random(seed), bytearray(short_song(name))
    for _ in range(random.randint(1, 50)):
        content[random.randrange(len(content))] = random.randrange(256)
    with TemporaryDirectory() as folder, suppress(NotAudio, UndecodableSong, SongTooLong):
        check(write(bytes(content), Path(folder)))


_SHORT: dict[str, bytes] = {}


def short_song(name: str) -> bytes:
    if name not in _SHORT:
        with TemporaryDirectory() as folder:
            _SHORT[name] = make(KINDS[name], Path(folder), seconds=0.5).read_bytes()
    return _SHORT[name]


def test_links_of_other_bytes_are_none() -> None:
    assert list[OggLink](find_ogg_links(b"OggS\0\2" + bytes(10))) == []
