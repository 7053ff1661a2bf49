"""The two buckets of the song store."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from msaas.errors import ObjectNotFound
from msaas.storage.protocol import ObjectStore, StoredObject
from msaas.storage.verified import Verified


def _do_nothing(_: str) -> None:
    pass


@dataclass(frozen=True)
class Buckets:
    """Every method raises `StoreUnavailable`, also those of the classes that are made of it.

    `on_change` is called with a job after this process has changed, replaced or deleted its manifest.
    """

    store: ObjectStore
    input_bucket: str = "input-tracks"
    output_bucket: str = "output-tracks"
    _verified: Verified[int] = field(default_factory=Verified, repr=False)
    on_change: Callable[[str], object] = field(default=_do_nothing, repr=False, compare=False)

    def ping(self) -> None:
        self.store.ping(self.input_bucket)

    def prepare(self) -> None:
        """Create the buckets. Existing ones are fine."""
        self.store.make_bucket(self.input_bucket)
        self.store.make_bucket(self.output_bucket)

    def _exists(self, bucket: str, key: str) -> bool:
        try:
            self.store.stat(bucket, key)
        except ObjectNotFound:
            return False
        return True

    def _list(self, bucket: str, *, prefix: str = "") -> Iterator[StoredObject]:
        """List a bucket. One that is missing, as in a new store, is empty."""
        with suppress(ObjectNotFound):
            yield from self.store.list(bucket, prefix=prefix)
