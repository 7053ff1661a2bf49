"""The attempt at a job of the queue: a thread renews its lease, each visible step verifies it."""

import secrets
import time
from collections.abc import Callable, Mapping
from functools import partial

from msaas.errors import LeaseLost, QueueUnavailable, Unavailable
from msaas.fragments import Fragments
from msaas.heartbeat import Beat, no_heartbeat
from msaas.logs import get_logger
from msaas.queue.consumer import Claim, Consumer
from msaas.queue.protocol import QueuePolicy
from msaas.storage.song_store import SongStore
from msaas_worker.attempt import OnStep, ignore_step
from msaas_worker.job.outputs import put_output
from msaas_worker.job.policy import WorkerPolicy
from msaas_worker.supervision.watchdog import OnStall, end_stalled
from msaas_worker.supervision.watched_attempt import WatchedAttempt

log = get_logger()


class LeasedAttempt(WatchedAttempt):
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
        super().__init__(
            policy=policy,
            max_ticks=policy.stall_renewals,
            on_stall=on_stall,
            heartbeat=heartbeat,
            on_step=on_step,
        )
        self.claim = claim
        self._consumer = consumer
        self._song_store = song_store
        self._renew_s = queue_policy.renew_s
        self._publish_s = policy.publish_s
        self._duration_s: float | None = None
        self._fragments: Fragments | None = None
        self._watched_at = self._started
        #: Known once `clean_up` was called.
        self.is_cancelled = False
        self._is_queue_away = False

    @property
    def job_id(self) -> str:
        return self.claim.job.job_id

    @property
    def number(self) -> int:
        return self.claim.attempt

    @property
    def releases(self) -> int:
        return self.claim.releases

    def set_duration(self, duration_s: float) -> None:
        self._duration_s = duration_s

    def check(self) -> None:
        if self._is_lost:
            raise LeaseLost(f"The lease of job {self.job_id} is lost.")

    def _verify(self) -> None:
        self._renew()

    def _give_back(self) -> None:
        self._consumer.release(self.claim)

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

    def clean_up(self, discard: Callable[[], None]) -> None:
        """Without the queue or the store, retention deletes what is left."""
        try:
            if self._consumer.begin_cleanup(self.job_id):
                self.is_cancelled = True
                discard()
                self._consumer.end_cleanup(self.job_id)
        except Unavailable as error:
            log.warning("cleanup_failed", reason=str(error))

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

    def _watch(self) -> None:
        """Renew more often than the lease needs: progress is shown, and a cancellation is learned."""
        while not self._has_ended.wait(min(self._publish_s, self._renew_s)):
            self._try_to_renew()
            self._try_to_watch()

    def _try_to_watch(self) -> None:
        """Count the time without progress. No error ends the thread that renews the lease."""
        now = time.monotonic()
        if now - self._watched_at < self._renew_s:
            return
        self._watched_at = now
        try:
            self._tick()
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
