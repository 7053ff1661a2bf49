"""The loop of a worker: take an entry, do its job, end it; no error of a job ends the loop."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from msaas import log_info
from msaas.errors import (
    AttemptsExhausted,
    ClaimRefused,
    LeaseLost,
    MalformedJob,
    ModelUnavailable,
    MsaasError,
    QueueUnavailable,
    SeparationFailed,
    SongMissing,
    SongTooLong,
    StoreUnavailable,
    UndecodableSong,
    UnknownModel,
)
from msaas.jobs import Job, JobError
from msaas.queue import Claim, Consumer, QueuePolicy, Result
from msaas_worker.heartbeat import Beat, unheard
from msaas_worker.lease import Lease
from msaas_worker.scratch import ScratchGone

_TAKE_S = 1.0
_QUEUE_AWAY_S = 0.5
_FIRST_STORE_DELAY_S = 1.0
_MAX_STORE_DELAY_S = 60.0
#: Another attempt would end like this one.
_HOPELESS = (SongMissing, SongTooLong, UndecodableSong, UnknownModel, ModelUnavailable)

Handle = Callable[[Lease], Result]


@dataclass
class Loop:
    """Runs until `stopping` is set; `lease` is the one at work, for whoever must end it."""

    consumer: Consumer
    handle: Handle
    policy: QueuePolicy
    stopping: threading.Event
    beat: Beat = unheard
    lease: Lease | None = None
    exit_code: int = 0
    #: Set after each job.
    job_ended: threading.Event = field(default_factory=threading.Event)
    _store_failures: int = field(default=0, init=False)
    _queue_away: bool = field(default=False, init=False)

    def run(self) -> None:
        while not self.stopping.is_set():
            self.beat()
            try:
                payload = self.consumer.take(timeout_s=_TAKE_S)
                self._note_queue(away=False)
                if payload is not None:
                    self._work(payload)
            except QueueUnavailable as error:
                self._note_queue(away=True, reason=error.detail)
                self.stopping.wait(_QUEUE_AWAY_S)
        with suppress(QueueUnavailable):
            self.consumer.leave()

    def _note_queue(self, *, away: bool, **fields: str) -> None:
        if away != self._queue_away:
            log_info("queue_away" if away else "queue_back", **fields)
        self._queue_away = away

    def _work(self, payload: bytes) -> None:
        try:
            claim = self.consumer.claim(Job.decode(payload), payload=payload)
        except MalformedJob as error:
            self._bury(payload, str(error))
        except (ClaimRefused, AttemptsExhausted) as error:
            log_info("job_refused", reason=str(error))
        except QueueUnavailable:
            raise
        except Exception as error:
            # Whatever else is wrong with it would end the next worker, too, and the one after that.
            self._bury(payload, _named(error).detail)
        else:
            self._work_on(claim)

    def _bury(self, payload: bytes, reason: str) -> None:
        self.consumer.bury(payload, reason=reason)
        log_info("entry_buried", reason=reason)

    def _work_on(self, claim: Claim) -> None:
        log_info("job_claimed", job=claim.job.songhash, attempt=claim.attempt)
        with Lease(self.consumer, claim, policy=self.policy, beat=self.beat) as self.lease:
            ending = self._ending(self.lease)
            try:
                self._until_heard(ending)
            except LeaseLost:
                log_info("lease_lost", job=claim.job.songhash)
        self.lease = None
        self.job_ended.set()

    def _ending(self, lease: Lease) -> Callable[[], None]:
        """Do the job and return what is to be said to the queue."""
        claim, consumer = lease.claim, self.consumer
        if self.stopping.is_set():  # It came in the very moment of the signal.
            return lease.give_back
        try:
            result = self.handle(lease)
        except LeaseLost:
            return lease.confirm
        except _HOPELESS as error:
            return self._failed(claim, error, consumer.fail)
        except StoreUnavailable as error:
            return self._given_back(claim, error)
        except ScratchGone:
            raise  # Every other job would fail here, too: the process ends, and a new one has its own.
        except Exception as error:
            return self._failed(claim, _named(error), consumer.retry)
        self._store_failures = 0
        return self._finished(claim, result)

    def _finished(self, claim: Claim, result: Result) -> Callable[[], None]:
        def end() -> None:
            self.consumer.finish(claim, result)
            log_info("job_finished", job=claim.job.songhash, model=result.model)

        return end

    def _failed(
        self, claim: Claim, error: MsaasError, say: Callable[[Claim, JobError], None]
    ) -> Callable[[], None]:
        def end() -> None:
            say(claim, JobError(error.code, error.title, error.detail))
            log_info("job_failed", job=claim.job.songhash, attempt=claim.attempt, reason=str(error))

        return end

    def _given_back(self, claim: Claim, error: StoreUnavailable) -> Callable[[], None]:
        delay_s = min(_FIRST_STORE_DELAY_S * 2**self._store_failures, _MAX_STORE_DELAY_S)
        self._store_failures = min(self._store_failures + 1, 10)

        def end() -> None:
            self.consumer.give_back(claim, delay_s=delay_s)
            log_info("job_given_back", job=claim.job.songhash, delay_s=delay_s, reason=error.detail)
            # While the store is away no other job can fare better.
            self.stopping.wait(_FIRST_STORE_DELAY_S)

        return end

    def _until_heard(self, end: Callable[[], None]) -> None:
        """Say how the job ended until the queue has heard it; every such step may be said twice."""
        while True:
            self.beat()
            try:
                return end()
            except QueueUnavailable:
                if self.stopping.wait(_QUEUE_AWAY_S):
                    raise


def _named(error: Exception) -> MsaasError:
    if isinstance(error, MsaasError):
        return error
    return SeparationFailed(f"{type(error).__name__}: {error}"[:300])
