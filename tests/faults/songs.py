"""Songs whose bytes differ though they sound the same: many jobs, few results to compare with."""

from functools import cache

from worker.tests.songs import song_mp3


@cache
def _song(seconds: float, seed: int) -> bytes:
    return song_mp3(seconds, seed=seed)


#: The number of songs that sound different.
TUNES = 4


def song(number: int = 0, *, seconds: float = 0.5) -> bytes:
    """Return the MP3 of tune `number % TUNES`. An ID3v1 tag at its end makes each number another song."""
    title = f"song {number}".encode().ljust(30, b"\0")
    return _song(seconds, number % TUNES) + b"TAG" + title + bytes(95)
