"""Headers of FLAC frames, and where joined FLAC files begin. RFC 9639."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap

Data = bytes | mmap

#: A frame of 4096 samples can have 100 kB: two of them begin within this.
SEARCH_BYTES = 256 * 1024
_SYNC = re.compile(rb"\xff[\xf8\xf9]")
#: The longest header: a number of 7 bytes, a block size and a sample rate of 2, and the checksum.
_HEADER_BYTES = 16
_BLOCK_SIZES = {
    1: 192,
    **{code: 576 << code - 2 for code in range(2, 6)},
    **{code: 1 << code for code in range(8, 16)},
}
#: Bytes of a block size or of a sample rate that stands behind the number.
_SIZE_BYTES = {6: 1, 7: 2}
_RATE_BYTES = {12: 1, 13: 2, 14: 2}
_RESERVED_SIZE, _INVALID_RATE, _CHANNEL_CODES, _RESERVED_BITS = 0, 15, 11, 3
#: The frame number of a stream with one block size has 31 bits.
_MAX_FRAME_NUMBER_BYTES = 6


#: The mark of a file, and the header of its first block.
_START = re.compile(rb"fLaC[\x00\x80]\0\0\x22")
_MARK_BYTES, _BLOCK_HEADER_BYTES = 4, 4
#: Of the sample rate, behind the mark, the header of the first block, and sizes of blocks and frames.
_RATE_AT = 18
#: The last frames are searched in so much of the end: first in the least.
_TAIL_BYTES = (SEARCH_BYTES // 16, SEARCH_BYTES)
#: Hostile files have a header in every few bytes.
_MAX_HEADERS = 2000
_MAX_BLOCKS = 1000


@dataclass(frozen=True)
class FlacLink:
    """One of joined files."""

    start: int
    end: int
    #: libsndfile skips tags in front.
    needs_copy = False

    def ranges(self, _: Data) -> Iterator[tuple[int, int]]:
        """Yield the bytes that make a file of this one."""
        yield self.start, self.end

    def measure(self, data: Data) -> float | None:
        """Return the length in s from the first frame to the last one whose numbers are found.

        None if they are not found. The length that the file declares does not count: it may be wrong.
        """
        rate_hz = int.from_bytes(data[self.start + _RATE_AT : self.start + _RATE_AT + 3]) >> 4
        frames = find_first_frame(data, self.start)
        first = next(find_pairs(data, frames, min(self.end, frames + SEARCH_BYTES)), None)
        last = self._find_last_pair(data, frames)
        if not (rate_hz and first and last):
            return None
        (beginning, _), (full, end) = first, last
        block = 1 if full.is_variable else full.samples
        return max(0, (end.number - beginning.number) * block + end.samples) / rate_hz

    def _find_last_pair(self, data: Data, frames: int) -> "tuple[FlacFrame, FlacFrame] | None":
        for size in _TAIL_BYTES:
            if found := list(find_pairs(data, max(frames, self.end - size), self.end)):
                return found[-1]
        return None


def find_flac_links(data: Data) -> Iterator[FlacLink]:
    """Yield the files that were joined. A FLAC within the metadata of another does not count."""
    start, frames = -1, 0
    for match in _START.finditer(data):
        if match.start() < frames:
            continue
        if start >= 0:
            yield FlacLink(start, match.start())
        start = match.start()
        frames = find_first_frame(data, start)
    if start >= 0:
        yield FlacLink(start, len(data))


def find_first_frame(data: Data, start: int) -> int:
    """Return where the frames begin of the file that begins here: behind its blocks of metadata."""
    at = start + _MARK_BYTES
    for _ in range(_MAX_BLOCKS):
        head = data[at : at + _BLOCK_HEADER_BYTES]
        at += _BLOCK_HEADER_BYTES + int.from_bytes(head[1:])
        if head[:1] >= b"\x80" or at >= len(data):
            break
    return at


@dataclass(frozen=True, kw_only=True)
class FlacFrame:
    """The header of a frame, section 9.1. `number` counts frames, or samples where block sizes vary."""

    is_variable: bool
    rate_code: int
    bits_code: int
    number: int
    samples: int

    def is_followed_by(self, other: "FlacFrame") -> bool:
        """Return whether the number of `other` is the next one of the same stream."""
        step = self.samples if self.is_variable else 1
        return self._stream == other._stream and other.number == self.number + step

    @property
    def _stream(self) -> tuple[bool, int, int]:
        return self.is_variable, self.rate_code, self.bits_code


def find_pairs(data: Data, start: int, end: int) -> Iterator[tuple[FlacFrame, FlacFrame]]:
    """Yield the frames of this part of the data whose numbers follow each other."""
    for first, second in itertools.pairwise(find_frames(data, start, end)):
        if first.is_followed_by(second):
            yield first, second


def find_frames(data: Data, start: int, end: int) -> Iterator[FlacFrame]:
    """Yield the frames whose headers begin in this part of the data, 2,000 at most."""
    for match in itertools.islice(_SYNC.finditer(data, start, end), _MAX_HEADERS):
        if frame := read_frame(data[match.start() : match.start() + _HEADER_BYTES]):
            yield frame


def read_frame(head: bytes) -> FlacFrame | None:
    """Return the frame whose header begins here, None if the bytes are invalid."""
    if len(head) < _HEADER_BYTES or not _SYNC.match(head):
        return None
    is_variable, size, rate, bits = head[1] == 0xF9, head[2] >> 4, head[2] & 15, head[3] >> 1 & 7
    if size == _RESERVED_SIZE or rate == _INVALID_RATE or bits == _RESERVED_BITS:
        return None
    if head[3] >> 4 >= _CHANNEL_CODES or head[3] & 1 or (coded := _read_number(head[4:])) is None:
        return None
    number, number_bytes = coded
    size_at = 4 + number_bytes
    rate_at = size_at + _SIZE_BYTES.get(size, 0)
    end = rate_at + _RATE_BYTES.get(rate, 0)
    if (not is_variable and number_bytes > _MAX_FRAME_NUMBER_BYTES) or _crc8(head[:end]) != head[end]:
        return None
    samples = _BLOCK_SIZES.get(size) or int.from_bytes(head[size_at:rate_at]) + 1
    return FlacFrame(is_variable=is_variable, rate_code=rate, bits_code=bits, number=number, samples=samples)


def _read_number(coded: bytes) -> tuple[int, int] | None:
    """Return a number in the code of UTF-8, which has up to 7 bytes here, and the number of its bytes."""
    ones = 8 - (~coded[0] & 0xFF).bit_length()
    if ones == 0:
        return coded[0], 1
    if ones in (1, 8):
        return None
    number = coded[0] & 0x7F >> ones
    for byte in coded[1:ones]:
        if byte >> 6 != 0b10:
            return None
        number = number << 6 | byte & 0x3F
    return number, ones


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc << 1 ^ (0x107 if crc & 0x80 else 0)
    return crc
