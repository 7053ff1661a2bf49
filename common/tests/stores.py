"""An object store between the tested code and another one: it notes calls and lets a test act before them."""

import io
from collections.abc import Callable, Iterator
from typing import BinaryIO

from msaas.storage.protocol import ObjectStore, StoredObject


def do_nothing(key: str) -> None:
    """Hook of a store that a test only watches."""


class WatchedStore:
    """Implements `ObjectStore`: passes every call on, and calls the hooks before it."""

    def __init__(self, store: ObjectStore) -> None:
        self.inner = store
        #: Keys in the order of the calls.
        self.gets: list[str] = []
        self.puts: list[str] = []
        self.stats: list[str] = []
        self.before_get: Callable[[str], None] = do_nothing
        self.before_put: Callable[[str], None] = do_nothing

    def ping(self, bucket: str) -> None:
        self.inner.ping(bucket)

    def make_bucket(self, bucket: str) -> None:
        self.inner.make_bucket(bucket)

    def put(self, bucket: str, key: str, data: BinaryIO, *, size_bytes: int, if_match: str = "") -> None:
        self.puts.append(key)
        self.before_put(key)
        self.inner.put(bucket, key, data, size_bytes=size_bytes, if_match=if_match)

    def get(
        self, bucket: str, key: str, *, offset: int = 0, length: int | None = None, etag: str = ""
    ) -> Iterator[bytes]:
        self.gets.append(key)
        self.before_get(key)
        yield from self.inner.get(bucket, key, offset=offset, length=length, etag=etag)

    def stat(self, bucket: str, key: str) -> StoredObject:
        self.stats.append(key)
        return self.inner.stat(bucket, key)

    def delete(self, bucket: str, key: str) -> None:
        self.inner.delete(bucket, key)

    def list(self, bucket: str, *, prefix: str = "") -> Iterator[StoredObject]:
        return self.inner.list(bucket, prefix=prefix)


def put(store: ObjectStore, bucket: str, key: str, content: bytes, *, if_match: str = "") -> None:
    store.put(bucket, key, io.BytesIO(content), size_bytes=len(content), if_match=if_match)


def content_of(store: ObjectStore, bucket: str, key: str) -> bytes:
    return b"".join(store.get(bucket, key))
