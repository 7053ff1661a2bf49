"""Walk over the frames of an MP3. Its length is their sum, not the claim of a tag or Xing header.

ISO/IEC 11172-3 and 13818-3; tags as in ID3v2.4 (section 3.1) and APEv2.
"""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from typing import BinaryIO

from msaas.errors import NotAnMp3, SongTooLong
from msaas.mapped_file import release_pages

#: Eleven bits of sync, a valid version, layer III, a bit rate that is neither free nor invalid.
_SYNC = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xef]", re.DOTALL)
_HEADER_BYTES = 4
_TAG_HEADER_BYTES = 10
_APE_HEADER_BYTES = 32
#: So many frames in a row are not a coincidence.
_CHAIN_FRAMES = 3
#: Padding between the tags and the first frame.
_LEAD_BYTES = 64 * 1024
#: A hostile file is full of near-frames: the rest of it is left to the decoder.
_MAX_CANDIDATES = 100_000

_KBITS = {
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_MPEG1 = 3


@dataclass(frozen=True)
class Frame:
    size_bytes: int
    samples: int
    rate_hz: int


@functools.lru_cache(maxsize=4096)
def _frame(start: bytes) -> Frame | None:
    """Read a header from its first three bytes."""
    if not _SYNC.fullmatch(start):
        return None
    version, padding = start[1] >> 3 & 3, start[2] >> 1 & 1
    rate_index = start[2] >> 2 & 3
    if rate_index == 3:
        return None
    samples = 1152 if version == _MPEG1 else 576
    rate_hz = _RATES_HZ[version][rate_index]
    bits_per_s = 1000 * _KBITS[1 if version == _MPEG1 else 2][start[2] >> 4]
    return Frame(samples // 8 * bits_per_s // rate_hz + padding, samples, rate_hz)


def check_length(file: BinaryIO, *, max_s: float) -> float:
    """Return the length of the MP3 in seconds.

    Raises:
        NotAnMp3: no chain of frames follows the tags.
        SongTooLong: the frames last longer than `max_s`.
    """
    file.flush()
    seconds = 0.0
    with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        for frame in _frames(data):
            seconds += frame.samples / frame.rate_hz
            if seconds > max_s:
                raise SongTooLong(f"The song is longer than {max_s:g} s, the limit of this service.")
    return seconds


def _frames(data: mmap) -> Iterator[Frame]:
    start = _behind_tags(data)
    candidates = iter(range(_MAX_CANDIDATES))
    at = _next_chain(data, start, end=start + _LEAD_BYTES, candidates=candidates)
    if at is None:
        raise NotAnMp3("The song has no MPEG audio frames of layer III. Send an MP3.")
    rate_hz, released = 0, 0
    while at is not None:
        frame = _frame(data[at : at + 3])
        if frame and rate_hz in (0, frame.rate_hz):
            yield frame
            rate_hz, at = frame.rate_hz, at + frame.size_bytes
        else:
            rate_hz, at = 0, _next_chain(data, at, end=len(data), candidates=candidates)
        released = release_pages(data, released, end=at or 0)


def _next_chain(data: mmap, at: int, *, end: int, candidates: Iterator[int]) -> int | None:
    for match, _ in zip(_SYNC.finditer(data, at, end), candidates, strict=False):
        if _is_chain(data, match.start()):
            return match.start()
    return None


def _is_chain(data: mmap, at: int) -> bool:
    rate_hz = None
    for _ in range(_CHAIN_FRAMES):
        frame = _frame(data[at : at + 3])
        if frame is None or rate_hz not in (None, frame.rate_hz):
            return False
        rate_hz, at = frame.rate_hz, at + frame.size_bytes
    return True


def _behind_tags(data: mmap) -> int:
    at = 0
    while at < len(data):
        size = _tag_bytes(data, at)
        if not size:
            return at
        at += size
    raise NotAnMp3("The song has tags but no audio. Send an MP3 with audio.")


def _tag_bytes(data: mmap, at: int) -> int:
    """Return the size of the tag that begins here, 0 if none does."""
    head = data[at : at + _APE_HEADER_BYTES]
    if head[:3] == b"ID3" and len(head) >= _TAG_HEADER_BYTES:
        size = functools.reduce(lambda total, byte: total << 7 | byte & 0x7F, head[6:10], 0)
        footer = _TAG_HEADER_BYTES if head[5] & 0x10 else 0
        return _TAG_HEADER_BYTES + size + footer
    if head[:8] == b"APETAGEX" and len(head) == _APE_HEADER_BYTES:
        return _APE_HEADER_BYTES + int.from_bytes(head[12:16], "little")
    return 0
