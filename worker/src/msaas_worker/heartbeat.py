"""A file whose age says that the worker lives, and whose text how far its job is; for the probes of a pod."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

#: Progress comes many times a second; a probe looks once in many.
EVERY_S = 1.0

#: Told at each sign of life, with the job at hand.
Beat = Callable[..., None]


def unheard(**_: object) -> None:
    """For a worker that nobody watches."""


class Heartbeat:
    def __init__(self, file: Path, *, every_s: float = EVERY_S) -> None:
        self._file = file
        self._every_s = every_s
        self._due = 0.0

    def __call__(self, **facts: object) -> None:
        """Write the facts as JSON; never fails, a full disk is for the job to notice."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._every_s
        with suppress(OSError):
            self._file.write_text(json.dumps(facts), encoding="utf-8")
