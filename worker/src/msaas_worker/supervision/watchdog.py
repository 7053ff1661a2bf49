"""Watchdog: ends a process if its job makes no progress."""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from msaas.logs import get_logger

#: EX_SOFTWARE: the exit code tells it from a kill from outside.
STALLED_EXIT = 70

log = get_logger()


class OnStall(Protocol):
    """Called with facts about the job that makes no progress."""

    def __call__(self, **facts: object) -> None: ...


def end_stalled(**facts: object) -> None:
    """End the process: a thread that hangs cannot be ended. The reaper returns the job."""
    try:
        log.error("job_stalled", **facts)
        logging.shutdown()
    finally:
        os._exit(STALLED_EXIT)


class Watchdog:
    """Counts `tick` calls since the last `reset`; the tick after `limit` calls `on_stall`. Thread-safe."""

    def __init__(self, *, limit: int, on_stall: Callable[[], None]) -> None:
        self._limit = limit
        self._on_stall = on_stall
        self._lock = threading.Lock()
        self._ticks = 0
        self._is_paused = False

    @property
    def is_paused(self) -> bool:
        return self._is_paused

    def reset(self) -> None:
        """Note progress."""
        with self._lock:
            self._ticks = 0

    def tick(self) -> None:
        """Note that time passed."""
        with self._lock:
            self._ticks += 1
            stalled = self._ticks > self._limit and not self._is_paused
        if stalled:
            self._on_stall()

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Count nothing during work that has its own time limit."""
        self._is_paused = True
        try:
            yield
        finally:
            self.reset()
            self._is_paused = False
