"""Ids: a song is named by the SHA-256 of its bytes, a job by that hash and the variant of its options."""

import hashlib
import re
from typing import BinaryIO

from msaas.errors import InvalidId

ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}"
_ID = re.compile(ID_PATTERN)
#: SHA-256 or the older SHA-224 in hex, with or without a variant.
_HASH = re.compile(r"(?i:[0-9a-f]{64}|[0-9a-f]{56})(\.[0-9a-fA-F]{12})?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MP3_SUFFIX = re.compile(r"\.mp3$", re.IGNORECASE)
_VARIANT_ID = re.compile(r"([0-9a-f]{64})\.([0-9a-f]{12})")


def song_hash(mp3: bytes) -> str:
    """Return the SHA-256 of the MP3's bytes as 64 hex digits."""
    return hashlib.sha256(mp3).hexdigest()


def song_hash_of(mp3: BinaryIO) -> str:
    """Return the same of an open file, read from its start."""
    mp3.seek(0)
    return hashlib.file_digest(mp3, "sha256").hexdigest()  # type: ignore[arg-type]


def parse_id(text: str) -> str:
    """Return `text` if it can be an id: ours, or an older UUID or SHA-224.

    Raises:
        InvalidId: `text` is empty, too long or has a character that no id has.
    """
    if not _ID.fullmatch(text) or ".." in text:
        raise InvalidId(
            f"Id {text[:140]!r} is invalid. An id has letters, digits, `_`, `-` and single dots, begins with "
            "a letter or a digit, and has at most 128 characters."
        )
    return text


def parse_queue_id(text: str) -> str:
    """Return the id that a queue entry names: `<hash>.mp3` and upper-case hashes are normalised.

    Raises:
        InvalidId: as `parse_id` does.
    """
    name = _MP3_SUFFIX.sub("", text.strip())
    return parse_id(name.lower() if _HASH.fullmatch(name) else name)


def source_of(job_id: str) -> str:
    """Return the song a job works on: `<sha256>` for `<sha256>.<variant>`, else the id itself."""
    match = _VARIANT_ID.fullmatch(job_id)
    return match.group(1) if match else job_id


def parse_song_hash(text: str) -> str:
    """Return the SHA-256 that names a song, from itself or from the id of a job on the song.

    Raises:
        InvalidId: `text` is neither.
    """
    song_hash = source_of(parse_id(text).lower())
    if not is_sha256(song_hash):
        raise InvalidId(f"Id {text!r} names no song. Send the SHA-256 of the song, 64 hex digits.")
    return song_hash


def is_sha256(name: str) -> bool:
    """Return whether the name of a song is the hash of its bytes. Ids of older systems are not."""
    return _SHA256.fullmatch(name) is not None


def with_variant(song_hash: str, variant: str) -> str:
    return f"{song_hash}.{variant}" if variant else song_hash
