"""The history that the queue keeps until the keeper has moved it into the database."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msaas.separations import Separation

#: The options of a recipe have a few hundred characters. Longer ones, of a job pushed by hand, are left out.
_MAX_OPTIONS_CHARS = 2000


@dataclass(frozen=True)
class HistoryBatch:
    """The oldest entries of the history, as the queue has them."""

    entries: tuple[bytes, ...]

    def separations(self) -> list[Separation]:
        """Return the separations in the entries. One that cannot be read is left out."""
        return [each for each in map(_separation_or_none, self.entries) if each]


def _separation_or_none(entry: bytes) -> Separation | None:
    try:
        return Separation.decode(entry)
    except (ValueError, RecursionError):
        return None


def options_json(options: Mapping[str, Any]) -> str:
    """Return the options of a job for its record, an empty text if it has none."""
    text = json.dumps(dict(options)) if options else ""
    return text if len(text) <= _MAX_OPTIONS_CHARS else ""
