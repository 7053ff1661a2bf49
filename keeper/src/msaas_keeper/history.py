"""History: moves the ends of jobs from the queue into the database, at least once."""

from collections.abc import Callable, Sequence
from typing import Protocol

from msaas.logs import get_logger
from msaas.queue.history import HistoryQueue
from msaas.separations import Separation

_BATCH = 500

log = get_logger()


class History(Protocol):
    """The history in the database."""

    def add(self, separations: Sequence[Separation]) -> None:
        """Add separations. Idempotent. Raises `Unavailable`."""


def _do_nothing(_: Sequence[Separation]) -> None:
    pass


def move_history(
    queue: HistoryQueue,
    history: History,
    *,
    on_moved: Callable[[Sequence[Separation]], object] = _do_nothing,
    batch: int = _BATCH,
) -> None:
    """Move all entries. An entry leaves the queue after it is in the database. Raises `Unavailable`.

    `on_moved` is called with the separations of each batch that was moved.

    An entry that cannot be read is dropped, because it would block the others.
    """
    while entries := (found := queue.read(limit=batch)).entries:
        separations = found.separations()
        if len(separations) < len(entries):
            log.error("history_entries_dropped", count=len(entries) - len(separations))
        history.add(separations)
        queue.trim(found)
        log.debug("history_moved", count=len(separations))
        on_moved(separations)
        if len(entries) < batch:
            return
