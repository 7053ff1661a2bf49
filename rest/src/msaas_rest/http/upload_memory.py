"""Upload memory: the bytes that all uploads hold together stay below a limit."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from msaas.errors import TooBusy


class UploadMemoryLimit:
    """Counts the memory of the uploads in progress. Thread-safe."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._taken_bytes = 0
        self._lock = threading.Lock()

    @property
    def taken_bytes(self) -> int:
        return self._taken_bytes

    @contextmanager
    def reserve(self) -> "Iterator[Reservation]":
        """Yield the reservation of one upload, which ends with the context."""
        reservation = Reservation(self)
        try:
            yield reservation
        finally:
            self._add(-reservation.taken_bytes)

    def _add(self, size_bytes: int) -> None:
        with self._lock:
            if size_bytes > 0 and self._taken_bytes + size_bytes > self._limit_bytes:
                raise TooBusy("Too many uploads are in progress. Try again later.")
            self._taken_bytes += size_bytes


class Reservation:
    """The memory of one upload."""

    def __init__(self, limit: UploadMemoryLimit) -> None:
        self._limit = limit
        self.taken_bytes = 0

    def take(self, size_bytes: int) -> None:
        """Add bytes that arrived. Announced ones would let idle clients reserve everything.

        Raises:
            TooBusy: the limit is reached.
        """
        self._limit._add(size_bytes)
        self.taken_bytes += size_bytes
