"""Joined files: songs one behind the other, as `cat` and radio stations make them."""

from collections.abc import Callable, Iterator
from mmap import mmap
from typing import Protocol

from msaas.flac import find_flac_links
from msaas.ogg import find_ogg_links


class Link(Protocol):
    """One of joined files."""

    @property
    def needs_copy(self) -> bool:
        """Return whether libsndfile reads it only without the bytes around it."""

    def ranges(self, data: bytes | mmap, /) -> Iterator[tuple[int, int]]:
        """Yield the bytes of the file that make it."""

    def measure(self, data: bytes | mmap, /) -> float | None:
        """Return its length in s, None if nothing tells it."""


#: By the name of the container.
FIND_LINKS: dict[str, Callable[[mmap], Iterator[Link]]] = {
    "FLAC": find_flac_links,
    "Ogg": find_ogg_links,
    "Opus": find_ogg_links,
}
