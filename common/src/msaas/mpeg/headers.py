"""Headers of MPEG audio frames, as in ISO/IEC 11172-3 and 13818-3, with the unofficial MPEG 2.5."""

import functools
import re
from dataclasses import dataclass

HEADER_BYTES = 4
#: Eleven bits of sync, a known version and layer, a known bit rate.
SYNC = re.compile(rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff][\x00-\xef]", re.DOTALL)

#: kbit/s of each index, by layer. 0 is the free format.
_KBITS_MPEG1 = {
    1: (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_KBITS_MPEG2 = {
    1: (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    3: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
#: By the bits of the version.
_RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_MPEG1 = 3
_MONO = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Facts that all frames of a stream share. `samples` is the number that a frame holds."""

    version: int
    layer: int
    rate_hz: int
    channels: int
    samples: int

    @property
    def side_info_bytes(self) -> int:
        """Return the size of the side information of layer III, which follows the header."""
        small, large = (17, 32) if self.version == _MPEG1 else (9, 17)
        return large if self.channels == 2 else small

    @property
    def slot_bytes(self) -> int:
        """Return the unit in which frames are measured and padded."""
        return 4 if self.layer == 1 else 1


@dataclass(frozen=True, slots=True)
class Header:
    """`size_bytes` is the size of the frame with its padding, or 0 in the free format, which has none."""

    stream: Stream
    size_bytes: int
    padding_bytes: int


@functools.lru_cache(maxsize=4096)
def read_header(word: bytes) -> Header | None:
    """Return the header that these four bytes hold, or None."""
    if len(word) < HEADER_BYTES or not SYNC.match(word):
        return None
    rate_index = word[2] >> 2 & 3
    if rate_index == 3:
        return None
    stream = _stream(word[1], rate_index, is_mono=word[3] >> 6 == _MONO)
    kbits = (_KBITS_MPEG1 if stream.version == _MPEG1 else _KBITS_MPEG2)[stream.layer][word[2] >> 4]
    padding_bytes = (word[2] >> 1 & 1) * stream.slot_bytes
    slots = stream.samples * 125 * kbits // stream.rate_hz // stream.slot_bytes
    size_bytes = slots * stream.slot_bytes + padding_bytes if kbits else 0
    return Header(stream, size_bytes, padding_bytes)


@functools.cache
def _stream(second: int, rate_index: int, *, is_mono: bool) -> Stream:
    version, layer = second >> 3 & 3, 4 - (second >> 1 & 3)
    samples = 384 if layer == 1 else 1152 if layer == 2 or version == _MPEG1 else 576
    return Stream(
        version=version,
        layer=layer,
        rate_hz=_RATES_HZ[version][rate_index],
        channels=1 if is_mono else 2,
        samples=samples,
    )
