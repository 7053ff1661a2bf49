"""The cover of a FLAC, which libsndfile does not write (RFC 9639, section 8.8)."""

import shutil
import struct
from pathlib import Path

from msaas_worker.audio.tags import Cover

#: The marker and the first block, with the facts of the stream. libFLAC writes a block of comments behind it.
_START_BYTES = 4 + 4 + 34
_PICTURE, _FRONT_COVER = 6, 3
_COPY_BYTES = 1 << 20


def add_cover(path: Path, cover: Cover) -> None:
    """Insert the cover into a finished file."""
    copy = path.with_suffix(".cover.flac")
    with open(path, "rb") as source, open(copy, "wb") as target:
        target.write(source.read(_START_BYTES))
        target.write(_picture_block(cover))
        shutil.copyfileobj(source, target, _COPY_BYTES)
    copy.replace(path)


def _picture_block(cover: Cover) -> bytes:
    media_type = cover.media_type.encode()
    # Empty: the description, then width, height, depth and number of colours.
    content = struct.pack(">II", _FRONT_COVER, len(media_type)) + media_type + bytes(4 + 4 * 4)
    content += struct.pack(">I", len(cover.data)) + cover.data
    return struct.pack(">I", _PICTURE << 24 | len(content)) + content
