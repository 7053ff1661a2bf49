"""Recognition of files by chains of frames, packets or pages.

Recordings and damaged files may begin in the middle of a frame. `ffmpeg` searches for the first whole one.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from mmap import mmap

from msaas.flac import SEARCH_BYTES as FLAC_SEARCH_BYTES
from msaas.flac import find_pairs

Data = bytes | mmap

#: The first whole frame begins before this.
SEARCH_BYTES = 64 * 1024
#: So many frames in a row are not a coincidence.
_FRAMES = 3
_HEADER_BYTES = 16

_ADTS = re.compile(rb"\xff[\xf0\xf1\xf8\xf9]")
_AC3 = re.compile(rb"\x0b\x77")
_DTS = re.compile(rb"\x7f\xfe\x80\x01")
_OGG = re.compile(rb"OggS\0[\x02\x06]")
#: A pack of an MPEG program stream, of MPEG-1 or MPEG-2.
_PACK = re.compile(rb"\x00\x00\x01\xba[\x21-\x2f\x44-\x7f]")
#: Packets of a transport stream (ISO 13818-1, section 2.4.3.2): of broadcasts, of cameras and discs with a
#: time in front, and with a checksum behind.
_PACKET_BYTES = (188, 192, 204)
_PACKET_HEADER = rb"\x47[\x00-\x7f].[\x10-\x3f\x50-\x7f\x90-\xbf\xd0-\xff]"
_PACKETS = tuple(
    re.compile(rb"(?=(?:%b.{%d}){4}%b)" % (_PACKET_HEADER, size - 4, _PACKET_HEADER), re.DOTALL)
    for size in _PACKET_BYTES
)

#: Of AC-3, in kbit/s.
_AC3_KBITS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
_AC3_RATES_HZ = (48_000, 44_100, 32_000)
_AC3_SAMPLES = 1536
#: Streams with a larger number are E-AC-3.
_AC3_LAST_VERSION = 10


def begins_adts(data: Data, at: int) -> bool:
    """Return whether frames of AAC follow each other from `at` on. They are MPEG with layer 0."""
    return _begins_chain(data, at, _adts_bytes)


def has_adts(data: Data, start: int) -> bool:
    return _has_chain(data, start, _ADTS, _adts_bytes)


def has_ac3(data: Data, start: int) -> bool:
    """Return whether frames of AC-3 or E-AC-3 follow each other."""
    return _has_chain(data, start, _AC3, _ac3_bytes)


def has_dts(data: Data, start: int) -> bool:
    return _has_chain(data, start, _DTS, _dts_bytes)


def has_transport_packets(data: Data, start: int) -> bool:
    window = data[start : start + SEARCH_BYTES]
    return any(pattern.search(window) for pattern in _PACKETS)


def has_packs(data: Data, start: int) -> bool:
    """Return whether the file has packs of an MPEG program stream."""
    found = _PACK.finditer(data, start, start + SEARCH_BYTES)
    return len(list(itertools.islice(found, 2))) == 2


def has_flac_frames(data: Data, start: int) -> bool:
    """Return whether two frames of FLAC have numbers in a row. Their headers have checksums."""
    return next(find_pairs(data, start, start + FLAC_SEARCH_BYTES), None) is not None


def ogg_starts(data: Data, start: int) -> Iterator[int]:
    """Yield where the first pages of Ogg streams begin."""
    return (match.start() for match in _OGG.finditer(data, start, start + SEARCH_BYTES))


def _has_chain(data: Data, start: int, sync: re.Pattern[bytes], size_of: Callable[[bytes], int]) -> bool:
    matches = sync.finditer(data, start, start + SEARCH_BYTES)
    return any(_begins_chain(data, match.start(), size_of) for match in matches)


def _begins_chain(data: Data, at: int, size_of: Callable[[bytes], int]) -> bool:
    """`size_of` returns the size of the frame with this header, 0 for other bytes."""
    for _ in range(_FRAMES):
        head = data[at : at + _HEADER_BYTES]
        size_bytes = size_of(head) if len(head) >= 8 else 0
        if not size_bytes:
            return False
        at += size_bytes
    return True


def _adts_bytes(head: bytes) -> int:
    if head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return 0
    size_bytes = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return size_bytes if size_bytes >= 7 else 0


def _ac3_bytes(head: bytes) -> int:
    """ATSC A/52, sections 5.4.1 and E.1.2."""
    if not _AC3.match(head):
        return 0
    if head[5] >> 3 > _AC3_LAST_VERSION:
        return 2 * ((head[2] & 7) << 8 | head[3]) + 2
    rate, size = head[4] >> 6, head[4] & 63
    if rate == len(_AC3_RATES_HZ) or size >> 1 >= len(_AC3_KBITS):
        return 0
    words = _AC3_KBITS[size >> 1] * 1000 * _AC3_SAMPLES // (16 * _AC3_RATES_HZ[rate])
    return 2 * (words + (size & 1 if rate == 1 else 0))


def _dts_bytes(head: bytes) -> int:
    """ETSI TS 102 114, section 5.3."""
    return ((head[5] & 3) << 12 | head[6] << 4 | head[7] >> 4) + 1 if _DTS.match(head) else 0
