"""The in-memory history of ended jobs."""

from msaas.errors import QueueUnavailable
from msaas.queue.history import MAX_HISTORY, HistoryBatch
from msaas.separations import Separation


class InMemoryHistory:
    """Implements `msaas.queue.history.HistoryQueue`. With `away` set every call raises `QueueUnavailable`."""

    def __init__(self) -> None:
        self.away = False
        #: Oldest first.
        self.entries: list[bytes] = []

    def add(self, separation: Separation) -> None:
        self.entries.append(separation.encode())
        del self.entries[:-MAX_HISTORY]

    def read(self, *, limit: int) -> HistoryBatch:
        self._answer()
        return HistoryBatch(tuple(self.entries[:limit]))

    def trim(self, batch: HistoryBatch) -> None:
        self._answer()
        if batch.entries and self.entries[:1] == [batch.entries[0]]:
            del self.entries[: len(batch.entries)]

    def _answer(self) -> None:
        if self.away:
            raise QueueUnavailable("The in-memory history is turned off.")
