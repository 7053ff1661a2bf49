"""Ids of songs and sessions in URLs: numbers."""

import re

from msaas.errors import SongNotFound

_NUMBER = re.compile(r"[1-9][0-9]{0,18}")


def parse_number(text: str) -> int | None:
    """Return the id, None for a text that cannot be one."""
    return int(text) if _NUMBER.fullmatch(text) else None


def parse_song_id(text: str) -> int:
    """Raises `SongNotFound`."""
    number = parse_number(text)
    if number is None:
        raise SongNotFound(f"Song {text[:140]!r} does not exist.")
    return number


def request_id_of(song_id: int) -> str:
    """Return the id of the request in the queue that an upload makes."""
    return f"song-{song_id}"
