"""Protocol of the object store: opaque bytes in buckets."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

#: `get` yields chunks of about this size.
CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """An object. `modified_at` is Unix time in s. Another `etag` means other bytes."""

    key: str
    size_bytes: int
    modified_at: float
    etag: str = ""


class ObjectStore(Protocol):
    """Every method raises `StoreUnavailable` when the store does not answer."""

    def ping(self, bucket: str) -> None:
        """Ask the store about a bucket, which may be missing. Needs no right to list all buckets."""

    def make_bucket(self, bucket: str) -> None:
        """Create the bucket. An existing one is fine."""

    def put(self, bucket: str, key: str, data: BinaryIO, *, size_bytes: int) -> None:
        """Store `size_bytes` bytes read from `data`, completely or not at all."""

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

    def list(self, bucket: str) -> Iterator[StoredObject]: ...
