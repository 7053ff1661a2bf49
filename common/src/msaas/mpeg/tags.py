"""Tags around and between the frames: ID3v1, ID3v2.4 (section 3.1) and APEv2."""

import functools
from mmap import mmap

_ID3_HEADER_BYTES = 10
_APE_HEADER_BYTES = 32
_ID3V1_BYTES = 128
#: More tags in a row count as foreign bytes: a file of empty tags would take seconds for each MB.
_MAX_TAGS = 100


def skip_tags(data: bytes | mmap, at: int) -> int:
    """Return the position behind the tags that begin at `at`, which may be behind the end of the data."""
    for _ in range(_MAX_TAGS):
        size = _tag_bytes(data, at)
        if not size:
            break
        at += size
    return at


def _tag_bytes(data: bytes | mmap, at: int) -> int:
    """Return the size of the tag that begins here, 0 if none does."""
    head = data[at : at + _APE_HEADER_BYTES]
    if head[:3] == b"ID3" and len(head) >= _ID3_HEADER_BYTES:
        size = functools.reduce(lambda total, byte: total << 7 | byte & 0x7F, head[6:10], 0)
        footer = _ID3_HEADER_BYTES if head[5] & 0x10 else 0
        return _ID3_HEADER_BYTES + size + footer
    if head[:8] == b"APETAGEX" and len(head) == _APE_HEADER_BYTES:
        return _APE_HEADER_BYTES + int.from_bytes(head[12:16], "little")
    if head[:3] == b"TAG" and len(data) - at == _ID3V1_BYTES:
        return _ID3V1_BYTES
    return 0
