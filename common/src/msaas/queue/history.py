"""The history that the queue keeps until the keeper has moved it into the database."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from msaas.separations import Separation

#: Ends of jobs that wait for the database, 57 MiB. Beyond them the oldest are dropped.
MAX_HISTORY = 100_000
#: The options of a recipe have a few hundred characters. Longer ones, of a job pushed by hand, are left out.
_MAX_OPTIONS_CHARS = 2000


@dataclass(frozen=True)
class HistoryBatch:
    """The oldest entries of the history, as the queue has them."""

    entries: tuple[bytes, ...]

    def separations(self) -> list[Separation]:
        """Return the separations in the entries. One that cannot be read is left out."""
        return [each for each in map(_separation_or_none, self.entries) if each]


class HistoryQueue(Protocol):
    """The ends of jobs, oldest first: each end adds an entry. Every method raises `QueueUnavailable`."""

    def read(self, *, limit: int) -> HistoryBatch:
        """Return the oldest entries."""

    def trim(self, batch: HistoryBatch) -> None:
        """Drop the entries of the batch, unless another keeper did. They are in the database."""


def _separation_or_none(entry: bytes) -> Separation | None:
    try:
        return Separation.decode(entry)
    except (ValueError, RecursionError):
        return None


def options_json(options: Mapping[str, Any]) -> str:
    """Return the options of a job for its record, an empty text if it has none."""
    text = json.dumps(dict(options)) if options else ""
    return text if len(text) <= _MAX_OPTIONS_CHARS else ""
