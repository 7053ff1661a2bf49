"""Object store in a directory: a bucket is a folder, an object is a file that appears complete."""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from msaas.errors import InvalidId, ObjectChanged, ObjectNotFound, StoreUnavailable
from msaas.songs import parse_id
from msaas.storage.protocol import CHUNK_BYTES, StoredObject

#: No key begins with a dot, so an unfinished upload is never taken for an object.
_PARTIAL = ".partial-"
#: An unfinished upload without a new byte for this long is abandoned.
_ABANDONED_S = 3600.0


class DirectoryStore:
    def __init__(self, root: Path) -> None:
        self._root = root

    def ping(self, bucket: str) -> None:
        with _our_errors():
            os.stat(self._root)

    def make_bucket(self, bucket: str) -> None:
        folder = self._root / bucket
        with _our_errors():
            folder.mkdir(parents=True, exist_ok=True)
            _sweep(folder)

    def put(self, bucket: str, key: str, data: BinaryIO, *, size_bytes: int) -> None:
        path = self._path(bucket, key)
        with _our_errors():
            partial = _write_partial(path.parent, data, size_bytes)
            os.replace(partial, path)
            _sync_directory(path.parent)

    def get(
        self, bucket: str, key: str, *, offset: int = 0, length: int | None = None, etag: str = ""
    ) -> Iterator[bytes]:
        with _our_errors(), open(self._path(bucket, key), "rb") as file:
            if etag and etag != _etag(os.fstat(file.fileno())):
                raise ObjectChanged(key)
            file.seek(offset)
            left = sys.maxsize if length is None else length
            while left > 0 and (chunk := file.read(min(left, CHUNK_BYTES))):
                left -= len(chunk)
                yield chunk

    def stat(self, bucket: str, key: str) -> StoredObject:
        with _our_errors():
            return _described(self._path(bucket, key))

    def delete(self, bucket: str, key: str) -> None:
        with _our_errors():
            self._path(bucket, key).unlink(missing_ok=True)

    def list(self, bucket: str) -> Iterator[StoredObject]:
        with _our_errors():
            names = sorted(os.listdir(self._root / bucket))
        for name in names:
            if not name.startswith("."):
                try:
                    yield self.stat(bucket, name)
                except ObjectNotFound:
                    continue  # Deleted since the listing.

    def _path(self, bucket: str, key: str) -> Path:
        try:
            return self._root / bucket / parse_id(key)
        except InvalidId:
            raise ObjectNotFound(key) from None


def _sweep(folder: Path) -> None:
    """Delete unfinished uploads that a crash left."""
    for partial in folder.glob(f"{_PARTIAL}*"):
        if time.time() - partial.stat().st_mtime > _ABANDONED_S:
            partial.unlink(missing_ok=True)


def _write_partial(folder: Path, data: BinaryIO, size_bytes: int) -> str:
    descriptor, partial = tempfile.mkstemp(prefix=_PARTIAL, dir=folder)
    try:
        with open(descriptor, "wb") as file:
            _copy(data, file, size_bytes)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        Path(partial).unlink()
        raise
    return partial


def _copy(data: BinaryIO, file: BinaryIO, size_bytes: int) -> None:
    left = size_bytes
    while left:
        chunk = data.read(min(left, CHUNK_BYTES))
        if not chunk:
            raise ValueError(f"the data ended {left} bytes early")
        file.write(chunk)
        left -= len(chunk)


def _sync_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _described(path: Path) -> StoredObject:
    facts = path.stat()
    return StoredObject(
        key=path.name, size_bytes=facts.st_size, modified_at=facts.st_mtime, etag=_etag(facts)
    )


def _etag(facts: os.stat_result) -> str:
    """An object is replaced by a new file: another inode, another time."""
    return f"{facts.st_ino:x}-{facts.st_mtime_ns:x}-{facts.st_size:x}"


@contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ObjectNotFound(Path(str(error.filename)).name) from None
    except OSError as error:
        raise StoreUnavailable(f"The store directory failed: {error.strerror or error}.") from error
