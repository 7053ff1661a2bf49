"""Title, artist, album and cover of a song stand in its stems, also if its file had hostile ones."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from worker.tests.encoding import encode_file
from worker.tests.songs import noise

from msaas.mpeg.tags import skip_tags
from msaas_worker.audio.decoded import SAMPLERATE
from msaas_worker.audio.encoders.id3 import write_id3
from msaas_worker.audio.stem_format import StemFormat
from msaas_worker.audio.tags import Cover, Tags, clean
from tests.servers import absent

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
SONG = Tags(title="Für Elise", artist="Ludwig 🎹", album="WoO 59")
#: The same, as it stands in the stem that the tests encode.
TEXTS = {"title": "Für Elise (stem)", "artist": "Ludwig 🎹", "album": "WoO 59"}
FORMATS = ["mp3", "flac", "wav", "opus", "m4a"]


def probe(path: Path) -> Any:
    command = ["ffprobe", "-v", "error", "-show_format", "-show_streams", "-of", "json", path]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def texts_of(found: Any) -> dict[str, str]:
    """Return the tags that ffmpeg finds, of the file or of its stream."""
    both = found["streams"][0].get("tags", {}) | found["format"].get("tags", {})
    lower = {name.lower(): text for name, text in both.items()}
    return {name: lower[name] for name in TEXTS if name in lower}


def encode(folder: Path, name: str, tags: Tags) -> Path:
    if not shutil.which("ffprobe"):
        absent("ffmpeg")
    rate_hz = 48_000 if name == "opus" else SAMPLERATE
    form = StemFormat(name=name, samples=rate_hz, rate_hz=rate_hz, bit_rate=160, bits="24")
    return encode_file(noise(SAMPLERATE), folder, form=form, tags=tags)


@pytest.mark.parametrize("name", FORMATS)
def test_tags_stand_in_the_stem(name: str, tmp_path: Path) -> None:
    assert texts_of(probe(encode(tmp_path, name, SONG))) == TEXTS


@pytest.mark.parametrize("name", FORMATS)
def test_any_text_can_be_written(name: str, tmp_path: Path) -> None:
    hostile = Tags(title="\0-y\n\ud800", artist="x" * 100_000, album="=;#\\\x1b[31m")
    texts = texts_of(probe(encode(tmp_path, name, hostile)))
    assert texts == {"title": "-y (stem)", "artist": "x" * 500, "album": "=;#\\ [31m"}


def test_song_without_tags_has_stems_without_tags(tmp_path: Path) -> None:
    assert encode(tmp_path, "mp3", Tags()).read_bytes()[:2] == b"\xff\xfb"
    with soundfile.SoundFile(encode(tmp_path, "flac", Tags())) as stem:
        assert (stem.title, stem.artist, stem.album) == ("", "", "")


def test_song_without_a_title_has_stems_without_a_title() -> None:
    assert Tags(artist="Ann").of_stem("vocals") == Tags(artist="Ann")


@pytest.mark.parametrize("name", ["mp3", "flac"])
@pytest.mark.parametrize(("start", "codec"), [(PNG, "png"), (JPEG, "mjpeg")])
def test_cover_stands_in_mp3_and_flac(name: str, start: bytes, codec: str, tmp_path: Path) -> None:
    data = start + bytes(300_000)
    tags = Tags(title="Song", artist="Ann", album="One", cover=Cover.recognise(data))
    stem = encode(tmp_path, name, tags)
    assert data in stem.read_bytes()
    assert [each.name for each in tmp_path.iterdir()] == [stem.name]
    found = probe(stem)
    _, picture = found["streams"]
    assert (picture["codec_name"], picture["disposition"]["attached_pic"]) == (codec, 1)
    assert texts_of(found) == {"title": "Song (stem)", "artist": "Ann", "album": "One"}
    with_cover = soundfile.read(stem)[0]
    assert np.array_equal(with_cover, soundfile.read(encode(tmp_path, name, Tags()))[0])


@pytest.mark.parametrize("data", [b"", b"GIF89a", PNG + bytes(500_000), b"<svg/>"])
def test_other_images_and_large_ones_are_left_out(data: bytes) -> None:
    assert Cover.recognise(data) is None


@given(st.text())
def test_clean_text_is_one_printable_line_of_bounded_length(text: str) -> None:
    cleaned = clean(text)
    assert cleaned.isprintable()
    assert len(cleaned) <= 500
    assert cleaned.encode().decode() == cleaned
    assert clean(cleaned) == cleaned


@given(st.builds(Tags, title=st.text(), artist=st.text(), album=st.text()))
def test_written_tag_has_the_size_it_tells(tags: Tags) -> None:
    written = write_id3(tags.of_stem("vocals"))
    assert skip_tags(written + b"\xff\xfb", 0) == len(written)
