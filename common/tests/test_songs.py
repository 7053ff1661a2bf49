"""Song hashes, job ids and their normalisation."""

import hashlib
import io

import pytest

from msaas.errors import InvalidId
from msaas.songs import parse_id, parse_queue_id, song_hash, song_hash_of, source_of, with_variant

SONG = "a" * 64


def test_song_hash_is_sha256_of_bytes() -> None:
    assert song_hash(b"mp3") == hashlib.sha256(b"mp3").hexdigest()
    file = io.BytesIO(b"mp3")
    file.read()
    assert song_hash_of(file) == song_hash(b"mp3")


@pytest.mark.parametrize(
    "text", [SONG, f"{SONG}.0123456789ab", "d" * 56, "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "A", "a" * 128]
)
def test_ids_of_every_system_are_accepted(text: str) -> None:
    assert parse_id(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        ".a",
        "-a",
        "_a",
        "a/b",
        "a..b",
        "a\\b",
        "a b",
        "a\n",
        "a\x00",
        "ä",
        "a" * 129,
        "a%2e",
        "a?b",
    ],
)
def test_ids_that_could_leave_the_bucket_are_refused(text: str) -> None:
    with pytest.raises(InvalidId):
        parse_id(text)


def test_variant_id_names_the_same_song() -> None:
    assert source_of(with_variant(SONG, "0123456789ab")) == SONG
    assert with_variant(SONG, "") == SONG
    assert source_of(SONG) == SONG
    assert source_of("old.id") == "old.id"


@pytest.mark.parametrize(
    ("text", "job_id"),
    [
        (f"{SONG}.mp3", SONG),
        (SONG.upper(), SONG),
        (f" {SONG.upper()}.mp3\n", SONG),
        (f"{SONG.upper()}.MP3", SONG),
        (f"{SONG}.Mp3", SONG),
        (f"{SONG.upper()}.0123456789AB", f"{SONG}.0123456789ab"),
        ("D" * 56, "d" * 56),
        ("6BA7B810-9DAD-11D1-80B4-00C04FD430C8", "6BA7B810-9DAD-11D1-80B4-00C04FD430C8"),
        ("Old.Id", "Old.Id"),
    ],
)
def test_queue_ids_are_normalised(text: str, job_id: str) -> None:
    assert parse_queue_id(text) == job_id


@pytest.mark.parametrize("text", ["", ".mp3", ".MP3", "../x.mp3"])
def test_queue_ids_without_a_hash_are_refused(text: str) -> None:
    with pytest.raises(InvalidId):
        parse_queue_id(text)
