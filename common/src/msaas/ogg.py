"""Pages of Ogg files, and their links: the songs that `cat` or a radio station joins. RFC 3533."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from mmap import mmap

Data = bytes | mmap

_MAGIC = b"OggS"
#: Magic, version, flags, granule position, serial number, sequence number, checksum, number of segments.
_HEADER = struct.Struct("<4sBBqIIIB")
_FIRST_PAGE = re.compile(rb"OggS\0[\x02\x06]")
#: The first bytes of a stream, by its codec.
_CODECS = {b"\x01vorbis": "Vorbis", b"OpusHead": "Opus", b"\x7fFLAC": "FLAC"}
#: A FLAC in Ogg has this in front of what begins a FLAC file. RFC 9639, section 10.1.
_FLAC_MAPPING_BYTES = 9


@dataclass(frozen=True, kw_only=True)
class Page:
    """The header begins at `start`, the packets at `body`. `granule` is -1 where no packet ends."""

    start: int
    body: int
    end: int
    granule: int
    serial: int


def read_page(data: Data, at: int) -> Page | None:
    """Return the page that begins here. Its end may be missing."""
    head = data[at : at + _HEADER.size]
    if len(head) < _HEADER.size:
        return None
    magic, version, _, granule, serial, _, _, segments = _HEADER.unpack(head)
    if magic != _MAGIC or version:
        return None
    body = at + _HEADER.size + segments
    end = body + sum(data[at + _HEADER.size : body])
    return Page(start=at, body=body, end=end, granule=granule, serial=serial)


@dataclass(frozen=True, kw_only=True)
class OggLink:
    """A part of the file, and its first stream of sound. `codec` is empty if libsndfile reads none."""

    start: int
    end: int
    codec: str
    serial: int
    #: Each stream begins with a page in front of all other pages.
    head_end: int
    streams: int = 1

    @property
    def needs_copy(self) -> bool:
        """Return whether libsndfile reads the stream only without the bytes around it."""
        return self.codec == "FLAC" or self.streams > 1 or self.start > 0

    def ranges(self, data: Data) -> Iterator[tuple[int, int]]:
        """Yield the bytes that make a file of the stream alone, which is a FLAC file if its codec is FLAC."""
        if self.codec != "FLAC" and self.streams == 1:
            yield self.start, self.end
            return
        for number, page in enumerate(self.pages(data)):
            if self.codec != "FLAC":
                yield page.start, page.end
            else:
                yield page.body + (0 if number else _FLAC_MAPPING_BYTES), page.end

    def pages(self, data: Data) -> Iterator[Page]:
        """Yield the pages of the stream."""
        at = self.start
        while 0 <= at < self.end:
            page = read_page(data, at)
            if page and page.serial == self.serial:
                yield page
            at = page.end if page else data.find(_MAGIC, at + 1, self.end)


def find_ogg_links(data: Data) -> Iterator[OggLink]:
    """Yield the links. Streams whose first pages are next to each other are of one link."""
    link: OggLink | None = None
    for start in (match.start() for match in _FIRST_PAGE.finditer(data)):
        if not (page := read_page(data, start)):
            continue
        begun = OggLink(
            start=start, end=len(data), codec=_codec(data, page), serial=page.serial, head_end=page.end
        )
        if link and link.head_end == start:
            stream = link if link.codec else begun
            link = replace(stream, start=link.start, head_end=page.end, streams=link.streams + 1)
            continue
        if link:
            yield replace(link, end=start)
        link = begun
    if link:
        yield link


def _codec(data: Data, page: Page) -> str:
    first = data[page.body : page.body + 8]
    return next((name for magic, name in _CODECS.items() if first.startswith(magic)), "")
