"""Tags of a song are read in the decoder process. They never decide whether the song can be separated."""

import struct
import subprocess
from pathlib import Path

import pytest
from worker.tests.references import require
from worker.tests.songs import mp3, noise
from worker.tests.test_decoding import decode_bytes, decoder_with

from msaas_worker.audio.decoded import SAMPLERATE
from msaas_worker.audio.tags import Tags

pytestmark = pytest.mark.process
TITLE, ARTIST, ALBUM = "Ærø 夜", "The Band", "First"
#: The smallest PNG: a header is enough for a reader of tags.
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def id3_text(name: bytes, text: str, *, encoding: int) -> bytes:
    codec = ("latin-1", "utf-16", "utf-16-be", "utf-8")[encoding]
    body = bytes([encoding]) + text.encode(codec, "replace")
    return name + struct.pack(">I", len(body)) + b"\0\0" + body


def id3(*frames: bytes) -> bytes:
    body = b"".join(frames)
    digits = bytes(len(body) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + digits + body


def picture(data: bytes) -> bytes:
    body = b"\0image/png\0\x03\0" + data
    return b"APIC" + struct.pack(">I", len(body)) + b"\0\0" + body


def tags_of(content: bytes, folder: Path) -> Tags:
    return decode_bytes(content, folder).tags


@pytest.fixture(scope="module")
def song() -> bytes:
    return mp3(noise(SAMPLERATE))


@pytest.mark.parametrize("encoding", [1, 2, 3])
def test_tags_of_an_mp3_are_read(encoding: int, song: bytes, tmp_path: Path) -> None:
    texts = {b"TIT2": TITLE, b"TPE1": ARTIST, b"TALB": ALBUM}
    tag = id3(*(id3_text(name, text, encoding=encoding) for name, text in texts.items()), picture(PNG))
    tags = tags_of(tag + song, tmp_path)
    assert (tags.title, tags.artist, tags.album) == (TITLE, ARTIST, ALBUM)
    assert tags.cover
    assert (tags.cover.data, tags.cover.media_type) == (PNG, "image/png")


@pytest.mark.parametrize("ending", ["flac", "ogg", "m4a", "wav", "opus"])
def test_tags_of_other_files_are_read(ending: str, song: bytes, tmp_path: Path) -> None:
    require("ffmpeg")
    (tmp_path / "plain.mp3").write_bytes(song)
    tagged = tmp_path / f"tagged.{ending}"
    metadata = ["-metadata", f"title={TITLE}", "-metadata", f"artist={ARTIST}"]
    command = ["ffmpeg", "-v", "error", "-i", str(tmp_path / "plain.mp3"), *metadata, str(tagged)]
    subprocess.run(command, check=True)
    tags = tags_of(tagged.read_bytes(), tmp_path)
    assert (tags.title, tags.artist) == (TITLE, ARTIST)


@pytest.mark.parametrize(
    "tag",
    [
        id3(id3_text(b"TIT2", "x", encoding=3)[:-1] + b"\xff\xfe"),
        id3(b"TIT2" + struct.pack(">I", 1 << 30) + b"\0\0\x03abc"),
        id3(picture(PNG + bytes(3_000_000))),
        id3(*(id3_text(b"TIT2", "x" * 3000, encoding=3) for _ in range(300))),
        b"ID3\x04\0\xff\x7f\x7f\x7f\x7f",
    ],
    ids=["not UTF-8", "frame beyond the tag", "large cover", "many titles", "tag beyond the file"],
)
def test_hostile_tags_leave_the_song_alone(tag: bytes, song: bytes, tmp_path: Path) -> None:
    decoded = decode_bytes(tag + song, tmp_path)
    assert decoded.samples >= SAMPLERATE
    assert decoded.tags.cover is None
    assert len(decoded.tags.title) <= 2000


def test_tags_that_take_all_time_leave_the_song_alone(song: bytes, tmp_path: Path) -> None:
    process = decoder_with("", tmp_path, start_cpu_s=2)
    (tmp_path / "modules" / "soundfile.py").unlink()
    endless = "class TinyTag:\n    def get(*args, **options):\n        while True: pass\n"
    (tmp_path / "modules" / "tinytag.py").write_text(endless)
    decoded = decode_bytes(song, tmp_path, process=process)
    assert decoded.samples >= SAMPLERATE
    assert decoded.tags == Tags()
