"""The attempt at a job of the queue: a thread renews its lease, each visible step verifies it."""

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Self

from msaas.background import spawn
from msaas.errors import LeaseLost, QueueUnavailable, Unavailable
from msaas.fragments import Fragments
from msaas.heartbeat import Beat, no_heartbeat
from msaas.logs import bind_log, get_logger
from msaas.queue.consumer import Claim, Consumer
from msaas.queue.protocol import QueuePolicy
from msaas.storage.song_store import SongStore
from msaas_worker.attempt import OnStep, Step, ignore_step
from msaas_worker.job.outputs import put_output
from msaas_worker.job.policy import WorkerPolicy
from msaas_worker.job.watchdog import OnStall, Watchdog, end_stalled

log = get_logger()


class LeasedAttempt:
    """Implements `Attempt`. Use it as a context: the lease is renewed inside.

    `publish_fragment` and `release` may be called by other threads than the one that separates.
    """

    publishes = True

    def __init__(
        self,
        consumer: Consumer,
        *,
        claim: Claim,
        song_store: SongStore,
        queue_policy: QueuePolicy,
        policy: WorkerPolicy = WorkerPolicy(),
        on_stall: OnStall = end_stalled,
        heartbeat: Beat = no_heartbeat,
        on_step: OnStep = ignore_step,
    ) -> None:
        self.claim = claim
        self._consumer = consumer
        self._song_store = song_store
        self._renew_s = queue_policy.renew_s
        self._policy = policy
        self._heartbeat = heartbeat
        self._on_step = on_step
        self._watchdog = Watchdog(limit=policy.stall_renewals, on_stall=lambda: on_stall(**self._facts()))
        self._progress = 0.0
        self._model: str | None = None
        self._requested_model: str | None = None
        self._device: str | None = None
        self._duration_s: float | None = None
        self._fragments: Fragments | None = None
        self._started = self._watched_at = time.monotonic()
        self._is_lost = False
        #: Known once `clean_up` was called.
        self.is_cancelled = False
        self._is_queue_away = False
        self._is_released = False
        self._releasing = threading.Lock()
        self._has_ended = threading.Event()

    @property
    def job_id(self) -> str:
        return self.claim.job.job_id

    @property
    def model(self) -> str:
        """The model that runs; empty before it is known."""
        return self._model or ""

    @property
    def is_released(self) -> bool:
        """Whether the worker gave the job back before its end. A call of `release` is waited for."""
        with self._releasing:
            return self._is_released

    def __enter__(self) -> Self:
        spawn(self._keep_renewing, name="lease")
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

    def set_duration(self, duration_s: float) -> None:
        self._duration_s = duration_s

    def check(self) -> None:
        if self._is_lost:
            raise LeaseLost(f"The lease of job {self.job_id} is lost.")

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
                return self._renew()
            except QueueUnavailable:
                time.sleep(self._policy.queue_retry_s)

    def publish_fragment(
        self, stems: Mapping[str, bytes], *, until_s: float, peaks: Mapping[str, bytes] = {}
    ) -> None:
        """Raises `LeaseLost` or `Unavailable`."""
        if self._fragments is None:
            self._fragments = Fragments(job_id=self.job_id, tag=secrets.token_hex(6), stems=tuple(stems))
            # Before the first is stored: the collector must know the names of all.
            self._renew(self._fragments)
        number = self._fragments.count + 1
        self._put_fragment(self._fragments, stems, number=number)
        for stem, content in peaks.items():
            self._song_store.fragments.put_peaks(self._fragments, stem, content)
        published = self._fragments.with_next(until_s=until_s)
        try:
            self._renew(published)
        except LeaseLost:
            # The attempt is over, and the collector may have passed before this fragment was stored.
            self._song_store.fragments.delete_all(self._fragments)
            raise
        self._fragments = published

    def _put_fragment(self, fragments: Fragments, stems: Mapping[str, bytes], *, number: int) -> None:
        songs = self._song_store
        for stem, mp3 in stems.items():
            put_output(songs, partial(songs.fragments.put, fragments, stem, number=number, mp3=mp3))

    def reach(self, step: Step) -> None:
        self._on_step(step, job_id=self.job_id)

    def clean_up(self, discard: Callable[[], None]) -> None:
        """Without the queue or the store, retention deletes what is left."""
        try:
            if self._consumer.begin_cleanup(self.job_id):
                self.is_cancelled = True
                discard()
                self._consumer.end_cleanup(self.job_id)
        except Unavailable as error:
            log.warning("cleanup_failed", reason=str(error))

    def eta_s(self) -> float:
        """Return the estimated time to the end in s, infinity without progress."""
        if not self._progress:
            return float("inf")
        return (time.monotonic() - self._started) * (1 - self._progress) / self._progress

    def must_finish(self) -> bool:
        """Return whether the job was given back too often to be given back again."""
        return self.claim.releases >= self._policy.max_releases

    def release(self) -> None:
        """Give the job back without an attempt. The thread that separates learns it at its next step.

        Raises:
            LeaseLost, QueueUnavailable: the job could not be given back.
        """
        with self._releasing:
            self._is_lost = True
            self._consumer.release(self.claim)
            self._is_released = True

    def _facts(self) -> dict[str, object]:
        return {"job_id": self.job_id, "model": self._model, "device": self._device}

    def _beat(self) -> None:
        self._heartbeat(job_id=self.job_id, progress=round(self._progress, 4))

    def _renew(self, fragments: Fragments | None = None) -> None:
        try:
            self._consumer.renew(
                self.claim,
                progress=self._progress,
                model=self._model,
                requested_model=self._requested_model,
                device=self._device,
                duration_s=self._duration_s,
                fragments=fragments,
            )
        except LeaseLost:
            self._is_lost = True
            raise

    def _keep_renewing(self) -> None:
        """Renew more often than the lease needs: progress is shown, and a cancellation is learned."""
        while not self._has_ended.wait(min(self._policy.publish_s, self._renew_s)):
            self._try_to_renew()
            self._try_to_watch()

    def _try_to_watch(self) -> None:
        """Count the time without progress. No error ends the thread that renews the lease."""
        now = time.monotonic()
        if now - self._watched_at < self._renew_s:
            return
        self._watched_at = now
        try:
            self._watchdog.tick()
            if self._watchdog.is_paused:
                self._beat()
        except Exception:
            log.exception("watchdog_failed")

    def _try_to_renew(self) -> None:
        """Renew the lease. No error ends the thread that renews it. An outage of the queue is one line."""
        try:
            if not self._is_lost:
                self._renew()
            self._is_queue_away = False
        except LeaseLost:
            pass  # The next step of the work learns it.
        except QueueUnavailable as error:
            if not self._is_queue_away:
                log.warning("lease_renewal_failed", reason=str(error))
            self._is_queue_away = True
        except Exception:
            log.exception("lease_renewal_failed")
