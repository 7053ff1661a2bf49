"""Songs whose bytes differ though they sound the same: many jobs, few results to compare with."""

from functools import cache

from worker.tests.songs import song_mp3


@cache
def _song(seconds: float, seed: int) -> bytes:
    return song_mp3(seconds, seed=seed)


#: The number of songs that sound different.
TUNES = 4


def song(number: int = 0, *, seconds: float = 0.5) -> bytes:
    """Return the MP3 of tune `number % TUNES`. A comment at its end makes each number another song.

    Stems have the title of their song, but no comment.
    """
    comment = f"song {number}".encode().ljust(30, b"\0")
    return _song(seconds, number % TUNES) + b"TAG" + bytes(94) + comment + b"\0"
