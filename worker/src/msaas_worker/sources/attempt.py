"""The attempt at a song of a broker: a thread holds the delivery, each visible step verifies it."""

import threading
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from msaas.background import spawn
from msaas.errors import LeaseLost, QueueUnavailable
from msaas.heartbeat import Beat, no_heartbeat
from msaas.logs import bind_log, get_logger
from msaas.queue.songs import Delivery
from msaas_worker.attempt import OnStep, Step, UnattendedAttempt, ignore_step
from msaas_worker.job.watchdog import OnStall, Watchdog, end_stalled
from msaas_worker.sources.policy import SourcePolicy

log = get_logger()


class DeliveryAttempt(UnattendedAttempt):
    """Implements `Attempt`. Use it as a context: the delivery is held inside.

    A delivery that is lost ends the work at its next look at `check`. Nothing is uploaded then.
    """

    def __init__(
        self,
        delivery: Delivery,
        *,
        policy: SourcePolicy = SourcePolicy(),
        on_stall: OnStall = end_stalled,
        heartbeat: Beat = no_heartbeat,
        on_step: OnStep = ignore_step,
    ) -> None:
        self.delivery = delivery
        self._policy = policy
        self._heartbeat = heartbeat
        self._on_step = on_step
        ticks = max(1, round(policy.stall_s / policy.look_s))
        self._watchdog = Watchdog(limit=ticks, on_stall=lambda: on_stall(**self._facts()))
        self._progress = 0.0
        self._model = self._device = ""
        self._started = time.monotonic()
        self._hold_at = self._started + delivery.hold_every_s
        self._is_given_back = False
        self._releasing = threading.Lock()
        self._has_ended = threading.Event()

    @property
    def job_id(self) -> str:
        return self.delivery.message.message_id

    @property
    def model(self) -> str:
        """The model that runs; empty before it is known."""
        return self._model

    @property
    def is_released(self) -> bool:
        """Whether the worker gave the song back before its end. A call of `release` is waited for."""
        with self._releasing:
            return self._is_given_back

    def __enter__(self) -> Self:
        spawn(self._watch, name="delivery")
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
        self._model, self._device = model, device

    def check(self) -> None:
        if self._is_given_back or self.delivery.is_lost:
            raise LeaseLost(f"The delivery of song {self.job_id} is lost.")

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
                return self.delivery.verify()
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
        """Return whether the song was given back too often to be given back again."""
        return self.delivery.message.releases >= self._policy.max_releases

    def release(self) -> None:
        """Give the song back without an attempt. The thread that separates learns it at its next step.

        Raises:
            LeaseLost, QueueUnavailable: the song could not be given back.
        """
        with self._releasing:
            self._is_given_back = True
            self.delivery.release()

    def _facts(self) -> dict[str, object]:
        return {"job_id": self.job_id, "model": self._model, "device": self._device}

    def _beat(self) -> None:
        self._heartbeat(job_id=self.job_id, progress=round(self._progress, 4))

    def _watch(self) -> None:
        """Hold the delivery and count the time without progress. No error ends the thread."""
        while not self._has_ended.wait(self._policy.look_s):
            try:
                self._watchdog.tick()
                if self._watchdog.is_paused:
                    self._beat()
                if time.monotonic() >= self._hold_at and not self._is_given_back:
                    self._hold()
            except LeaseLost:
                return
            except Exception:
                log.exception("hold_failed")

    def _hold(self) -> None:
        every_s = self.delivery.hold_every_s
        try:
            self.delivery.hold()
        except QueueUnavailable as error:
            log.warning("hold_failed", reason=error.detail)
            self._hold_at = time.monotonic() + min(self._policy.hold_retry_s, every_s / 5)
        else:
            log.info("song_held")
            self._hold_at = time.monotonic() + every_s
