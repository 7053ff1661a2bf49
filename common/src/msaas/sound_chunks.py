"""Chunks of WAV, Wave64, AIFF and CAF files: a name and a size, and then the content."""

from dataclasses import dataclass
from mmap import mmap
from typing import Literal

from msaas.mpeg.tags import skip_tags

_Order = Literal["big", "little"]
WAVE64 = b"riff\x2e\x91\xcf\x11"
#: Hostile files have many small chunks.
_MAX_CHUNKS = 10_000


@dataclass(frozen=True, kw_only=True)
class _Form:
    """The first chunk begins at `start`. A size has `size_bytes` behind `name_bytes` of a name."""

    start: int
    name_bytes: int = 4
    size_bytes: int = 4
    order: _Order = "big"
    #: Chunks begin at multiples of it.
    padding: int = 2
    #: Whether a size counts the name and itself.
    counts_header: bool = False

    @property
    def header_bytes(self) -> int:
        return self.name_bytes + self.size_bytes


_FORMS = {
    **dict.fromkeys((b"RIFF", b"RF64", b"BW64"), _Form(start=12, order="little")),
    **dict.fromkeys((b"RIFX", b"FORM"), _Form(start=12)),
    b"caff": _Form(start=8, size_bytes=8, padding=1),
    b"riff": _Form(start=40, name_bytes=16, size_bytes=8, order="little", padding=8, counts_header=True),
}


def byte_order(data: bytes | mmap) -> _Order:
    """Return the order of the numbers in a WAV or Wave64 file."""
    return "big" if data[:4] == b"RIFX" else "little"


def find_chunk(data: bytes | mmap, name: bytes, *, end: int | None = None) -> int | None:
    """Return the place of the content of the first chunk of a name that begins before `end`, else None.

    Tags may be in front of the file. Where a wrong size hides the chunk, the first place of its name counts.
    """
    begin, end = skip_tags(data, 0), min(len(data), len(data) if end is None else end)
    form = _FORMS.get(data[begin : begin + 4])
    if form is None:
        return None
    at = _walk(data, name, form, begin=begin, end=end)
    if at is None:
        found = data.find(name, begin + form.start, end)
        at = found if found >= 0 else None
    return None if at is None else at + form.header_bytes


def _walk(data: bytes | mmap, name: bytes, form: _Form, *, begin: int, end: int) -> int | None:
    at = begin + form.start
    for _ in range(_MAX_CHUNKS):
        if at + form.header_bytes > end:
            break
        if data[at : at + len(name)] == name:
            return at
        size = int.from_bytes(data[at + form.name_bytes : at + form.header_bytes], form.order)
        at += max(size, form.header_bytes) if form.counts_header else form.header_bytes + size
        at += (begin - at) % form.padding
    return None
