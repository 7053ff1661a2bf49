"""The bytes that all uploads under way hold together stay under a limit."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from msaas.errors import TooBusy


class Budget:
    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._taken_bytes = 0
        self._lock = threading.Lock()

    @property
    def taken_bytes(self) -> int:
        return self._taken_bytes

    @contextmanager
    def share(self) -> "Iterator[Share]":
        """Yield what one upload holds; it is given back at the end."""
        share = Share(self)
        try:
            yield share
        finally:
            self._add(-share.taken_bytes)

    def _add(self, size_bytes: int) -> None:
        with self._lock:
            if size_bytes > 0 and self._taken_bytes + size_bytes > self._limit_bytes:
                raise TooBusy("Too many uploads are under way.")
            self._taken_bytes += size_bytes


class Share:
    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.taken_bytes = 0

    def take(self, size_bytes: int) -> None:
        """Count what arrived, not what was announced, or idle clients could hold it all. Raises `TooBusy`."""
        self._budget._add(size_bytes)
        self.taken_bytes += size_bytes
