"""Heartbeat: a file with the progress of the job. Its age shows liveness."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

#: Progress comes many times a second, probes look rarely.
EVERY_S = 1.0

#: Called at each sign of life, with facts about the job.
Beat = Callable[..., None]


def no_heartbeat(**_: object) -> None:
    """Beat of a process without a probe."""


class Heartbeat:
    """Writes the facts to a file, once in `every_s` at most."""

    def __init__(self, file: Path, *, every_s: float = EVERY_S) -> None:
        self._file = file
        self._every_s = every_s
        self._due = 0.0

    def __call__(self, **facts: object) -> None:
        """Write the facts as JSON. Never fails: a full disk is an error of the job."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._every_s
        with suppress(OSError):
            self._file.write_text(json.dumps(facts), encoding="utf-8")
