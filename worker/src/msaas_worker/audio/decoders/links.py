"""Decoding of joined files: libsndfile reads only the first one, so each is copied into a clean file."""

import os
from collections.abc import Callable, Iterator
from itertools import chain
from mmap import mmap
from typing import BinaryIO

from msaas.links import Link
from msaas_worker.audio.decoders import Blocks
from msaas_worker.audio.decoders.sndfile import decode_sndfile

_COPY_BYTES = 1 << 20


def decode_links(
    song: BinaryIO,
    data: mmap,
    clean: BinaryIO,
    *,
    find_links: Callable[[mmap], Iterator[Link]],
    on_damage: Callable[[], None],
) -> Blocks:
    """Yield one song behind the other. `clean` is an empty file. Raises as `decode_sndfile` does."""
    links = find_links(data)
    first, second = next(links, None), next(links, None)
    if not first or not (second or first.needs_copy):
        yield from decode_sndfile(song, on_damage=on_damage)
        return
    for link in chain([first], [second] if second else [], links):
        _copy(link, data, clean)
        try:
            yield from decode_sndfile(clean, on_damage=on_damage)
        except ValueError:
            on_damage()


def _copy(link: Link, data: mmap, clean: BinaryIO) -> None:
    clean.seek(0)
    clean.truncate()
    for start, end in link.ranges(data):
        for at in range(start, end, _COPY_BYTES):
            clean.write(data[at : min(at + _COPY_BYTES, end)])
    clean.flush()
    clean.seek(0, os.SEEK_SET)
