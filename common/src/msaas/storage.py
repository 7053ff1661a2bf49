"""An object store moves opaque bytes in and out of buckets; what they mean is told elsewhere."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol


@dataclass(frozen=True)
class StoredObject:
    key: str
    size_bytes: int
    modified_at: float


class ObjectStore(Protocol):
    """Every method raises `StoreUnavailable` when the store does not answer."""

    def ping(self, bucket: str) -> None:
        """Ask for a bucket that may be missing: who works in it need not be allowed to list all of them."""

    def make_bucket(self, bucket: str) -> None:
        """Create the bucket; an existing one is fine."""

    def put(self, bucket: str, key: str, data: BinaryIO, *, size_bytes: int) -> None:
        """Store `size_bytes` read from `data`, whole or not at all."""

    def get(self, bucket: str, key: str) -> Iterator[bytes]:
        """Yield the object in pieces.

        Raises:
            ObjectNotFound: before the first piece, there is no such object.
        """

    def stat(self, bucket: str, key: str) -> StoredObject:
        """Raises `ObjectNotFound`."""

    def delete(self, bucket: str, key: str) -> None:
        """Delete the object; an absent one is fine."""

    def list(self, bucket: str) -> Iterator[StoredObject]: ...
