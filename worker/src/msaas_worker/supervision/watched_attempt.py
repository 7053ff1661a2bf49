"""The part of an attempt that does not depend on the source of the work."""

import threading
import time
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from msaas.background import spawn
from msaas.errors import QueueUnavailable
from msaas.heartbeat import Beat
from msaas.logs import bind_log, get_logger
from msaas_worker.attempt import OnStep, Step
from msaas_worker.supervision.policy import LoopPolicy
from msaas_worker.supervision.watchdog import OnStall, Watchdog

log = get_logger()


class WatchedAttempt(ABC):
    """Reports progress to the heartbeat and to the watchdog, and can be given back by another thread.

    Use it as a context: `_watch` runs in a thread inside.
    """

    def __init__(
        self,
        *,
        policy: LoopPolicy,
        max_ticks: int,
        on_stall: OnStall,
        heartbeat: Beat,
        on_step: OnStep,
    ) -> None:
        """`max_ticks` without progress are a stall."""
        self._policy = policy
        self._heartbeat = heartbeat
        self._on_step = on_step
        self._watchdog = Watchdog(limit=max_ticks, on_stall=lambda: on_stall(**self._facts()))
        self._progress = 0.0
        self._model: str | None = None
        self._requested_model: str | None = None
        self._device: str | None = None
        self._started = time.monotonic()
        self._is_lost = False
        self._is_released = False
        self._releasing = threading.Lock()
        self._has_ended = threading.Event()

    @property
    @abstractmethod
    def job_id(self) -> str: ...

    @property
    @abstractmethod
    def number(self) -> int:
        """The number of this attempt at the work, from 1."""

    @property
    @abstractmethod
    def releases(self) -> int:
        """How often workers gave the work back before."""

    @abstractmethod
    def check(self) -> None:
        """Raise `LeaseLost` if it is known that the work is not wanted any more. Sends nothing."""

    @abstractmethod
    def _verify(self) -> None:
        """Return once the source confirms the work. Raises `LeaseLost` or `QueueUnavailable`."""

    @abstractmethod
    def _give_back(self) -> None:
        """Raises `LeaseLost` or `QueueUnavailable`."""

    @abstractmethod
    def _watch(self) -> None:
        """Keep the work, and count the time without progress, until `_has_ended`."""

    @property
    def model(self) -> str:
        """The model that runs; empty before it is known."""
        return self._model or ""

    @property
    def is_released(self) -> bool:
        """Whether the worker gave the work back before its end. A call of `release` is waited for."""
        with self._releasing:
            return self._is_released

    def __enter__(self) -> Self:
        spawn(self._watch, name="attempt")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._has_ended.set()

    def pause_watchdog(self) -> AbstractContextManager[None]:
        return self._watchdog.pause()

    def set_model(self, *, model: str, requested: str, device: str) -> None:
        bind_log(model=model, device=device)
        if model != requested:
            log.info("model_stands_in", requested_model=requested)
        self._model, self._requested_model, self._device = model, requested, device

    def report_progress(self, share: float | None = None) -> None:
        self.check()
        self._watchdog.reset()
        if share is not None:
            self._progress = share
        self._beat()

    def verify(self) -> None:
        while True:
            self.report_progress()
            try:
                return self._verify()
            except QueueUnavailable:
                time.sleep(self._policy.queue_retry_s)

    def reach(self, step: Step) -> None:
        self._on_step(step, job_id=self.job_id)

    def eta_s(self) -> float:
        """Return the estimated time to the end in s, infinity without progress."""
        if not self._progress:
            return float("inf")
        return (time.monotonic() - self._started) * (1 - self._progress) / self._progress

    def must_finish(self) -> bool:
        """Return whether the work was given back too often to be given back again."""
        return self.releases >= self._policy.max_releases

    def release(self) -> None:
        """Give the work back without an attempt. The thread that separates learns it at its next step.

        Raises:
            LeaseLost, QueueUnavailable: the work could not be given back.
        """
        with self._releasing:
            self._is_lost = True
            self._give_back()
            self._is_released = True

    def _tick(self) -> None:
        """Count time without progress."""
        self._watchdog.tick()
        if self._watchdog.is_paused:
            self._beat()

    def _facts(self) -> dict[str, object]:
        return {"job_id": self.job_id, "model": self._model, "device": self._device}

    def _beat(self) -> None:
        self._heartbeat(job_id=self.job_id, progress=round(self._progress, 4))
