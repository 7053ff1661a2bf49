"""Songs that are sent: read from disk as they go, so that memory does not grow with them."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

#: Called with the number of bytes that were sent so far. An exception ends the upload.
OnBytes = Callable[[int], None]
_CHUNK_BYTES = 1 << 18


def ignore_bytes(sent: int) -> None:
    """Hook of an upload or a download that nothing observes."""


class SongFile:
    """Implements `Body` for an open file, and reports each read."""

    def __init__(self, file: BinaryIO, *, on_bytes: OnBytes = ignore_bytes) -> None:
        self._file = file
        self._on_bytes = on_bytes
        self._size_bytes = os.fstat(file.fileno()).st_size

    def __len__(self) -> int:
        return self._size_bytes

    def read(self, size: int = -1, /) -> bytes:
        # The bytes of the reads before were sent.
        self._on_bytes(self._file.tell())
        return self._file.read(size)

    def rewind(self) -> None:
        self._file.seek(0)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
