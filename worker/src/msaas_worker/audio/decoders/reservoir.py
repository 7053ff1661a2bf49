"""The bit reservoir of layer III: the data of a frame may begin in earlier frames, at most 511 bytes before.

Where frames are lost, a decoder reads other bytes instead, and its output is noise far above full scale.
Such a frame is silenced. Its own bytes stay, because later frames use them.
"""

from mmap import mmap

from msaas.mpeg.headers import HEADER_BYTES
from msaas.mpeg.walk import Frame

_MPEG1 = 3
_CHECKSUM_BYTES = 2


class Reservoir:
    """Follows the frames of one part."""

    def __init__(self, data: bytes | mmap) -> None:
        self._data = data
        self._bytes = 0
        self._last: Frame | None = None

    def read(self, frame: Frame) -> bytes:
        """Return the bytes of the next frame, without its sound if the beginning of its data is missing."""
        word = frame.repaired or self._data[frame.offset : frame.offset + HEADER_BYTES]
        body = self._data[frame.offset + HEADER_BYTES : frame.end]
        if frame.header.stream.layer != 3:
            return word + body
        if self._last is None or frame.lost or frame.offset != self._last.end:
            self._bytes = 0
        start = 0 if word[1] & 1 else _CHECKSUM_BYTES
        side_info_end = start + frame.header.stream.side_info_bytes
        begin = _begin(body[start : start + 2], version=frame.header.stream.version)
        is_complete = begin <= self._bytes
        self._last, self._bytes = frame, self._bytes + max(0, len(body) - side_info_end)
        if is_complete:
            return word + body
        return without_checksum(word) + bytes(side_info_end) + body[side_info_end:]


def _begin(side_info: bytes, *, version: int) -> int:
    """Return the number of bytes before the frame at which its data begins."""
    return int.from_bytes(side_info) >> 7 if version == _MPEG1 else side_info[0]


def without_checksum(word: bytes) -> bytes:
    return bytes([word[0], word[1] | 1]) + word[2:]
