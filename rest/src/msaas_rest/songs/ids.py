"""Ids of songs and sessions in URLs: numbers."""

import re

_NUMBER = re.compile(r"[1-9][0-9]{0,18}")


def parse_number(text: str) -> int | None:
    """Return the id, None for a text that cannot be one."""
    return int(text) if _NUMBER.fullmatch(text) else None


def request_id_of(song_id: int) -> str:
    """Return the id of the request in the queue that an upload makes."""
    return f"song-{song_id}"
