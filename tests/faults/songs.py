"""Songs whose bytes differ though they sound the same: many jobs, few results to compare with."""

from functools import cache

from worker.tests.songs import song_mp3


@cache
def _song(seconds: float, seed: int) -> bytes:
    return song_mp3(seconds, seed=seed)


#: So many sound different.
TUNES = 4


def song(number: int = 0, *, seconds: float = 0.5) -> bytes:
    """The MP3 of tune `number % TUNES`; an ID3v1 tag at its end makes each number a song of its own."""
    title = f"song {number}".encode().ljust(30, b"\0")
    return _song(seconds, number % TUNES) + b"TAG" + title + bytes(95)
