"""The in-memory object store."""

import hashlib
import threading
import time
from collections.abc import Iterator
from typing import BinaryIO

from msaas.errors import ObjectNotFound, StoreUnavailable
from msaas.storage.protocol import StoredObject, object_changed


class InMemoryStore:
    """Implements `ObjectStore`. With `away` set every call raises `StoreUnavailable`."""

    def __init__(self) -> None:
        self.away = False
        self._buckets: dict[str, dict[str, tuple[bytes, float]]] = {}
        self._lock = threading.Lock()

    def ping(self, bucket: str) -> None:
        self._answer()

    def make_bucket(self, bucket: str) -> None:
        self._answer()
        self._buckets.setdefault(bucket, {})

    def put(self, bucket: str, key: str, data: BinaryIO, *, size_bytes: int, if_match: str = "") -> None:
        content = data.read(size_bytes)
        if len(content) < size_bytes:
            raise ValueError(f"the data ended {size_bytes - len(content)} bytes early")
        with self._lock:
            objects = self._bucket(bucket)
            if if_match and (key not in objects or _etag(objects[key][0]) != if_match):
                raise object_changed(key)
            objects[key] = (content, time.time())

    def get(
        self, bucket: str, key: str, *, offset: int = 0, length: int | None = None, etag: str = ""
    ) -> Iterator[bytes]:
        content, _ = self._object(bucket, key)
        if etag and etag != _etag(content):
            raise object_changed(key)
        yield content[offset : None if length is None else offset + length]

    def stat(self, bucket: str, key: str) -> StoredObject:
        content, modified_at = self._object(bucket, key)
        return StoredObject(key=key, size_bytes=len(content), modified_at=modified_at, etag=_etag(content))

    def delete(self, bucket: str, key: str) -> None:
        self._answer()
        with self._lock:
            self._buckets.get(bucket, {}).pop(key, None)

    def list(self, bucket: str, *, prefix: str = "") -> Iterator[StoredObject]:
        for key in sorted(self._bucket(bucket)):
            if key.startswith(prefix):
                yield self.stat(bucket, key)

    def _object(self, bucket: str, key: str) -> tuple[bytes, float]:
        try:
            return self._bucket(bucket)[key]
        except KeyError:
            raise ObjectNotFound(f"Object {key} is not in the store.") from None

    def _bucket(self, bucket: str) -> dict[str, tuple[bytes, float]]:
        self._answer()
        try:
            return self._buckets[bucket]
        except KeyError:
            raise ObjectNotFound(f"Bucket {bucket} is not in the store.") from None

    def _answer(self) -> None:
        if self.away:
            raise StoreUnavailable("The in-memory store is turned off.")


def _etag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
