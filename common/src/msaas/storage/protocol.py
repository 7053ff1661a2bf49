"""Protocol of the object store: opaque bytes in buckets."""

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO, Protocol

from msaas.errors import ObjectChanged

#: `get` yields chunks of about this size.
CHUNK_BYTES = 64 * 1024
#: A song or a manifest that is asked for again is stored again unless the object is younger: retention counts
#: from the last request.
_YOUNG_S = 600.0


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """An object. `modified_at` is Unix time in s. Another `etag` means other bytes."""

    key: str
    size_bytes: int
    modified_at: float
    etag: str = ""


def object_changed(key: str) -> ObjectChanged:
    return ObjectChanged(f"Object {key} was replaced or deleted meanwhile. Try again.")


class PublicStore(Protocol):
    """The store as clients reach it."""

    def presign(self, bucket: str, key: str, *, disposition: str, media_type: str) -> str:
        """Return a URL of the object that works for an hour without credentials. Sends nothing.

        The answer has these values in `Content-Disposition` and `Content-Type`.
        """


class ObjectStore(Protocol):
    """Every method raises `StoreUnavailable` when the store does not answer."""

    def ping(self, bucket: str) -> None:
        """Ask the store about a bucket, which may be missing. Needs no right to list all buckets."""

    def make_bucket(self, bucket: str) -> None:
        """Create the bucket. An existing one is fine."""

    def put(self, bucket: str, key: str, data: BinaryIO, *, size_bytes: int, if_match: str = "") -> None:
        """Store `size_bytes` bytes read from `data`, completely or not at all.

        With `if_match`, only replace the object that has this etag. Such an object is sent in one request and
        must be small.

        Raises:
            ObjectChanged: the object has another etag than `if_match`, or was deleted. Nothing was stored.
        """

    def get(
        self, bucket: str, key: str, *, offset: int = 0, length: int | None = None, etag: str = ""
    ) -> Iterator[bytes]:
        """Yield `length` bytes from `offset` in chunks, by default all.

        Raises:
            ObjectNotFound: the object is missing. Raised before the first chunk.
            ObjectChanged: it does not have this `etag`. Raised before the first chunk.
        """

    def stat(self, bucket: str, key: str) -> StoredObject:
        """Raises `ObjectNotFound`."""

    def delete(self, bucket: str, key: str) -> None:
        """Delete the object. A missing one is fine."""

    def list(self, bucket: str, *, prefix: str = "") -> Iterator[StoredObject]:
        """Yield the objects whose keys begin with `prefix`, in the order of their keys."""


def put_bytes(store: ObjectStore, bucket: str, key: str, content: bytes, *, if_match: str = "") -> None:
    """Store `content`; `if_match` as in `ObjectStore.put`."""
    store.put(bucket, key, io.BytesIO(content), size_bytes=len(content), if_match=if_match)


@dataclass(frozen=True)
class OpenObject:
    """An object that is being read: its size, its ETag, and its bytes in chunks."""

    size_bytes: int
    etag: str
    chunks: Iterator[bytes]


def open_object(store: ObjectStore, bucket: str, key: str) -> OpenObject:
    """Return the object as it is now. It may only be replaced by a longer one that begins with its bytes.

    Raises:
        ObjectNotFound: the object is missing.
    """
    found = store.stat(bucket, key)
    chunks = store.get(bucket, key, length=found.size_bytes)
    # The first chunk is read now: an error in it can still choose the status of an answer.
    return OpenObject(found.size_bytes, found.etag, chain([next(chunks, b"")], chunks))


def is_young(found: StoredObject) -> bool:
    """Return whether the object need not be stored again to be spared by retention."""
    return time.time() - found.modified_at < _YOUNG_S
