"""Object store in a directory: a bucket is a folder, an object is a file that appears complete."""

import fcntl
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from msaas.errors import InvalidId, ObjectNotFound, StoreUnavailable
from msaas.songs import parse_id
from msaas.storage.protocol import CHUNK_BYTES, StoredObject, object_changed

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

    def put(self, bucket: str, key: str, data: BinaryIO, *, size_bytes: int, if_match: str = "") -> None:
        path = self._path(bucket, key)
        with _our_errors(), _partial_file(path.parent, data, size_bytes) as partial:
            with _lock(path.parent, exclusive=bool(if_match)) as folder:
                if if_match and if_match != _etag_or_none(path):
                    raise object_changed(key)
                os.replace(partial, path)
                os.fsync(folder)

    def get(
        self, bucket: str, key: str, *, offset: int = 0, length: int | None = None, etag: str = ""
    ) -> Iterator[bytes]:
        with _our_errors(), open(self._path(bucket, key), "rb") as file:
            if etag and etag != _etag(os.fstat(file.fileno())):
                raise object_changed(key)
            file.seek(offset)
            left = sys.maxsize if length is None else length
            while left > 0 and (chunk := file.read(min(left, CHUNK_BYTES))):
                left -= len(chunk)
                yield chunk

    def stat(self, bucket: str, key: str) -> StoredObject:
        with _our_errors():
            return _described(self._path(bucket, key))

    def delete(self, bucket: str, key: str) -> None:
        path = self._path(bucket, key)
        with _our_errors(), suppress(FileNotFoundError), _lock(path.parent):
            path.unlink()

    def list(self, bucket: str, *, prefix: str = "") -> Iterator[StoredObject]:
        with _our_errors():
            names = sorted(os.listdir(self._root / bucket))
        for name in names:
            if name.startswith(prefix) and not name.startswith("."):
                try:
                    yield self.stat(bucket, name)
                except ObjectNotFound:
                    continue  # Deleted since the listing.

    def _path(self, bucket: str, key: str) -> Path:
        try:
            return self._root / bucket / parse_id(key)
        except InvalidId:
            raise ObjectNotFound(f"Object {key} is not in the store.") from None


def _sweep(folder: Path) -> None:
    """Delete unfinished uploads that a crash left."""
    for partial in folder.glob(f"{_PARTIAL}*"):
        with suppress(FileNotFoundError):  # Its upload has ended since the listing.
            if time.time() - partial.stat().st_mtime > _ABANDONED_S:
                partial.unlink()


@contextmanager
def _partial_file(folder: Path, data: BinaryIO, size_bytes: int) -> Iterator[str]:
    """Write a file that is complete on the disk but has no key yet. An error in the context deletes it."""
    descriptor, partial = tempfile.mkstemp(prefix=_PARTIAL, dir=folder)
    try:
        with open(descriptor, "wb") as file:
            _copy(data, file, size_bytes)
            file.flush()
            os.fsync(file.fileno())
        yield partial
    except BaseException:
        Path(partial).unlink()
        raise


def _copy(data: BinaryIO, file: BinaryIO, size_bytes: int) -> None:
    left = size_bytes
    while left:
        chunk = data.read(min(left, CHUNK_BYTES))
        if not chunk:
            raise ValueError(f"the data ended {left} bytes early")
        file.write(chunk)
        left -= len(chunk)


@contextmanager
def _lock(folder: Path, *, exclusive: bool = False) -> Iterator[int]:
    """Lock the folder for a change, and yield its descriptor.

    A conditional change is exclusive: between its look at the object and its change there is no other one.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield descriptor
    finally:
        os.close(descriptor)


def _described(path: Path) -> StoredObject:
    facts = path.stat()
    return StoredObject(
        key=path.name, size_bytes=facts.st_size, modified_at=facts.st_mtime, etag=_etag(facts)
    )


def _etag_or_none(path: Path) -> str | None:
    try:
        return _etag(path.stat())
    except FileNotFoundError:
        return None


def _etag(facts: os.stat_result) -> str:
    """An object is replaced by a new file: another inode, another time."""
    return f"{facts.st_ino:x}-{facts.st_mtime_ns:x}-{facts.st_size:x}"


@contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ObjectNotFound(f"Object {Path(str(error.filename)).name} is not in the store.") from None
    except OSError as error:
        raise StoreUnavailable(f"The object store is unavailable ({error.strerror or error}).") from error
