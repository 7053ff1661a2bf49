"""An object store in a dictionary."""

import time
from collections.abc import Iterator
from typing import BinaryIO

from msaas.errors import ObjectNotFound, StoreUnavailable
from msaas.storage import StoredObject


class InMemoryStore:
    """Implements `msaas.storage.ObjectStore`; with `away` set it does not answer."""

    def __init__(self) -> None:
        self.away = False
        self._buckets: dict[str, dict[str, tuple[bytes, float]]] = {}

    def ping(self, bucket: str) -> None:
        self._answer()

    def make_bucket(self, bucket: str) -> None:
        self._answer()
        self._buckets.setdefault(bucket, {})

    def put(self, bucket: str, key: str, data: BinaryIO, *, size_bytes: int) -> None:
        content = data.read(size_bytes)
        if len(content) < size_bytes:
            raise ValueError(f"the data ended {size_bytes - len(content)} bytes early")
        self._bucket(bucket)[key] = (content, time.time())

    def get(self, bucket: str, key: str) -> Iterator[bytes]:
        yield self._object(bucket, key)[0]

    def stat(self, bucket: str, key: str) -> StoredObject:
        content, modified_at = self._object(bucket, key)
        return StoredObject(key, len(content), modified_at)

    def delete(self, bucket: str, key: str) -> None:
        self._answer()
        self._buckets.get(bucket, {}).pop(key, None)

    def list(self, bucket: str) -> Iterator[StoredObject]:
        for key in sorted(self._bucket(bucket)):
            yield self.stat(bucket, key)

    def _object(self, bucket: str, key: str) -> tuple[bytes, float]:
        try:
            return self._bucket(bucket)[key]
        except KeyError:
            raise ObjectNotFound(key) from None

    def _bucket(self, bucket: str) -> dict[str, tuple[bytes, float]]:
        self._answer()
        try:
            return self._buckets[bucket]
        except KeyError:
            raise ObjectNotFound(bucket) from None

    def _answer(self) -> None:
        if self.away:
            raise StoreUnavailable("Turned off.")
