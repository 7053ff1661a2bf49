"""Writes to the output bucket, which is created where it is missing."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from msaas.errors import ObjectNotFound, StoreUnavailable
from msaas.logs import get_logger
from msaas.storage.song_store import SongStore
from msaas_worker.interruption import check_interruption

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

T = TypeVar("T")

log = get_logger()


def put_output(song_store: SongStore, put: Callable[[], T]) -> T:
    """Return `put()`. If the bucket is missing, create it and call `put` once more.

    Otherwise the song would be separated again, which takes much longer.

    Raises:
        StoreUnavailable: there is still no bucket.
    """
    try:
        return put()
    except ObjectNotFound as error:
        log.warning("bucket_missing", reason=error.detail)
    try:
        song_store.prepare()
        return put()
    except ObjectNotFound as error:
        raise StoreUnavailable(f"The bucket cannot be created. {error.detail}") from None


class WatchedFile(io.BufferedReader):
    """A file that is read while its content is wanted: an interruption ends the upload that reads it."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))

    def read(self, size: int | None = -1, /) -> bytes:
        check_interruption()
        return super().read(size)

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        check_interruption()
        return super().readinto(buffer)
