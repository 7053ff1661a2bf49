"""Writes to the output bucket, which is created where it is missing."""

from collections.abc import Callable
from typing import TypeVar

from msaas.errors import ObjectNotFound, StoreUnavailable
from msaas.logs import get_logger
from msaas.storage.song_store import SongStore

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
