"""Pages of Ogg files, and their links: the songs that `cat` or a radio station joins. RFC 3533."""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
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
_OPUS_HZ = 48_000
#: Most samples of a packet, by the codec.
_MAX_PACKET_SAMPLES = {"Vorbis": 8192, "Opus": 5760, "FLAC": 65_535}
#: A packet goes on behind a segment of this size.
_FULL_SEGMENT = 255
_CHECKSUM_AT = 22
#: So many pages are searched for a position. Hostile files have many small ones.
_MAX_PAGES = 200
_MAX_STREAMS = 100


@dataclass(frozen=True, kw_only=True)
class Page:
    """The header begins at `start`, the packets at `body`. `granule` is -1 where no packet ends."""

    start: int
    body: int
    end: int
    granule: int
    serial: int

    def packets(self, data: Data) -> int:
        """Return the number of packets that end in this page."""
        return sum(size < _FULL_SEGMENT for size in data[self.start + _HEADER.size : self.body])

    def is_whole(self, data: Data) -> bool:
        """Return whether the checksum is right."""
        page = data[self.start : self.end]
        checksum = page[_CHECKSUM_AT : _CHECKSUM_AT + 4]
        return _crc32(page[:_CHECKSUM_AT] + bytes(4) + page[_CHECKSUM_AT + 4 :]) == int.from_bytes(
            checksum, "little"
        )


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

    def measure(self, data: Data) -> float | None:
        """Return the length in s by the positions of the first and the last page, None if they tell none.

        The positions of a recording begin anywhere. It is longer by its first page.
        """
        first = next((page for page in islice(self.pages(data), _MAX_PAGES) if page.granule > 0), None)
        if not self.codec or not first:
            return None
        if not (last := self._find_last_page(data)) or not (rate_hz := self._rate_hz(data)):
            return None
        begins = (
            0 if first.granule <= first.packets(data) * _MAX_PACKET_SAMPLES[self.codec] else first.granule
        )
        return max(0, last.granule - begins) / rate_hz

    def _find_last_page(self, data: Data) -> Page | None:
        """Return the last page that has a position and is not damaged."""
        at = self.end
        for _ in range(_MAX_PAGES):
            if (at := data.rfind(_MAGIC, self.start, at)) < 0:
                return None
            page = read_page(data, at)
            if page and self._has_position(page) and page.is_whole(data):
                return page
        return None

    def _has_position(self, page: Page) -> bool:
        return page.serial == self.serial and page.granule > 0 and page.end <= self.end

    def _rate_hz(self, data: Data) -> int:
        first = next(self.pages(data))
        head = data[first.body : first.end]
        match self.codec:
            case "Vorbis":
                return int.from_bytes(head[12:16], "little")
            case "FLAC":
                return int.from_bytes(head[27:30]) >> 4
            case _:
                return _OPUS_HZ

    def pages(self, data: Data) -> Iterator[Page]:
        """Yield the pages of the stream. One that lost bytes ends where the next one begins."""
        at = self.start
        while 0 <= at < self.end:
            page = read_page(data, at)
            after = page.end if page else at
            if after != self.end and not (page and data[after : after + len(_MAGIC)] == _MAGIC):
                found = data.find(_MAGIC, at + 1, self.end)
                after = found if found >= 0 else self.end
                page = page and replace(page, end=max(page.body, after))
            if page and page.serial == self.serial:
                yield page
            at = after


def find_ogg_links(data: Data) -> Iterator[OggLink]:
    """Yield the links. Streams whose first pages are next to each other are of one link."""
    link: OggLink | None = None
    for start in (match.start() for match in _FIRST_PAGE.finditer(data)):
        if not (page := read_page(data, start)):
            continue
        begun = OggLink(
            start=start, end=len(data), codec=_codec(data, page), serial=page.serial, head_end=page.end
        )
        if link and link.head_end == start and link.streams < _MAX_STREAMS:
            stream = link if link.codec else begun
            link = replace(stream, start=link.start, head_end=page.end, streams=link.streams + 1)
            continue
        if link:
            yield replace(link, end=start)
        link = begun
    if link:
        yield link


def find_codec(head: bytes) -> str | None:
    """Return the codec of the first stream here that libsndfile reads, None if it reads none."""
    page = read_page(head, 0)
    while page and not (codec := _codec(head, page)):
        page = read_page(head, page.end) if _FIRST_PAGE.match(head, page.end) else None
    return codec if page else None


def _codec(data: Data, page: Page) -> str:
    first = data[page.body : page.body + 8]
    return next((name for magic, name in _CODECS.items() if first.startswith(magic)), "")


def _crc32(data: bytes) -> int:
    """Return the checksum of RFC 3533, appendix A: that of zlib with all bits in the other order, from 0."""
    reversed_crc = zlib.crc32(data.translate(_REVERSED), _ALL_ONES) ^ _ALL_ONES
    return int.from_bytes(reversed_crc.to_bytes(4, "little").translate(_REVERSED))


_ALL_ONES = 0xFFFF_FFFF
#: Each byte with its bits in the other order.
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
