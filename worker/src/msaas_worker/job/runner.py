"""Job runner: take an entry, do its job, report how it ended. No error of a job ends the loop."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from msaas.errors import (
    AttemptsExhausted,
    ClaimRefused,
    DecoderMissing,
    InvalidOption,
    LeaseLost,
    MalformedJob,
    ModelUnavailable,
    MsaasError,
    QueueUnavailable,
    SongDamaged,
    SongMissing,
    SongTooLong,
    StoreUnavailable,
    UndecodableSong,
    UnknownFormat,
    UnknownModel,
    UnknownOption,
    UnknownStem,
)
from msaas.heartbeat import Beat, no_heartbeat
from msaas.jobs import Job
from msaas.logs import get_logger, log_context
from msaas.metrics import JOBS, QUEUE_WAIT
from msaas.queue.consumer import Claim, Consumer, Result
from msaas.queue.protocol import QueuePolicy
from msaas.songs import source_of
from msaas.storage.song_store import SongStore
from msaas_worker.attempt import Attempt, OnStep, Step, ignore_step
from msaas_worker.job.endings import Ending, Outcome, as_client_error, describe, job_error
from msaas_worker.job.lease import LeasedAttempt
from msaas_worker.job.outcome_log import OutcomeLog
from msaas_worker.job.policy import WorkerPolicy
from msaas_worker.scratch import ScratchGone
from msaas_worker.separators import ModelPending

#: A further attempt would end in the same way.
_FINAL = (
    *(SongMissing, SongDamaged, SongTooLong, UndecodableSong),
    *(UnknownModel, UnknownStem, UnknownFormat, InvalidOption, ModelUnavailable),
)
#: A newer worker may know the option or its value, and another one may have the decoder.
_UNKNOWN = (UnknownOption, InvalidOption, UnknownModel, UnknownStem, UnknownFormat, DecoderMissing)

Handle = Callable[[Job, Attempt], Result]

log = get_logger()


@dataclass(kw_only=True)
class JobRunner:
    """Runs until `stopping` is set. `attempt` is the running one: shutdown reads it from another thread."""

    consumer: Consumer
    song_store: SongStore
    handle: Handle
    queue_policy: QueuePolicy
    stopping: threading.Event
    policy: WorkerPolicy = WorkerPolicy()
    heartbeat: Beat = no_heartbeat
    on_step: OnStep = ignore_step
    attempt: LeasedAttempt | None = None
    exit_code: int = 0
    #: Set after each job: its callbacks are due.
    job_ended: threading.Event = field(default_factory=threading.Event)
    _log: OutcomeLog = field(init=False)
    _store_failures: int = field(default=0, init=False)
    _is_queue_away: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._log = OutcomeLog(max_attempts=self.queue_policy.max_attempts)

    def run(self) -> None:
        while not self.stopping.is_set():
            self.heartbeat()
            try:
                payload = self.consumer.take(timeout_s=self.policy.take_s)
                self._note_queue(is_away=False)
                if payload is not None:
                    self.work(payload)
            except QueueUnavailable as error:
                self._note_queue(is_away=True, reason=error.detail)
                self.stopping.wait(self.policy.queue_retry_s)
        with suppress(QueueUnavailable):
            self.consumer.deregister()

    def _note_queue(self, *, is_away: bool, reason: str = "") -> None:
        if is_away and not self._is_queue_away:
            log.warning("queue_unavailable", reason=reason)
        elif self._is_queue_away and not is_away:
            log.info("queue_available")
        self._is_queue_away = is_away

    def work(self, payload: bytes) -> None:
        """Do the job of an entry that was taken, and report how it ended. Raises `QueueUnavailable`."""
        try:
            job = Job.decode(payload)
        except Exception as error:
            return self._dead_letter(payload, error)
        request = {"request_id": job.request_id} if job.request_id else {}
        with log_context(job_id=job.job_id, **request):
            claim = self._claim(job, payload)
            if claim:
                self._work_on(claim)

    def _claim(self, job: Job, payload: bytes) -> Claim | None:
        try:
            return self.consumer.claim(job, payload=payload)
        except AttemptsExhausted as error:
            log.error("job_failed", reason=error.title)
            JOBS.labels(Outcome.FAILED, "").inc()
            self.job_ended.set()
        except ClaimRefused as error:
            log.info("job_refused", reason=str(error))
        except QueueUnavailable:
            raise
        except Exception as error:
            # An entry that raises here would raise in every other worker, too.
            self._dead_letter(payload, error)
        return None

    def _dead_letter(self, payload: bytes, error: Exception) -> None:
        is_expected = isinstance(error, MalformedJob)
        reason = str(error) if is_expected else describe(error)
        self.consumer.dead_letter(payload, reason=reason)
        log.warning("entry_dead_lettered", reason=reason, exc_info=None if is_expected else error)

    def _work_on(self, claim: Claim) -> None:
        log.info("job_claimed", attempt=claim.attempt)
        if claim.is_first:
            QUEUE_WAIT.observe(claim.waited_s)
        with self._attempt_at(claim) as self.attempt:
            ending = self._do(claim, self.attempt)
            # Before the report: the lease may be lost, or the worker may stop while the queue is unavailable.
            self._log.log_failure(claim, ending)
            ending = self._report(claim, ending)
            self._log.log_ending(self.attempt, ending)
        self.attempt = None
        if ending.outcome is Outcome.DONE:
            self.on_step(Step.FINISHED, job_id=claim.job.job_id)
        self.job_ended.set()
        if isinstance(ending.error, StoreUnavailable):
            # While the store is away every other job fails as well.
            self.stopping.wait(self.policy.first_store_delay_s)

    def _attempt_at(self, claim: Claim) -> LeasedAttempt:
        return LeasedAttempt(
            self.consumer,
            claim=claim,
            song_store=self.song_store,
            queue_policy=self.queue_policy,
            policy=self.policy,
            heartbeat=self.heartbeat,
            on_step=self.on_step,
        )

    def _do(self, claim: Claim, attempt: LeasedAttempt) -> Ending:
        attempt.reach(Step.CLAIMED)
        if self.stopping.is_set():  # The entry came in the moment of the signal.
            return Ending(outcome=Outcome.RELEASED)
        try:
            result = self.handle(claim.job, attempt)
        except LeaseLost:
            return Ending(outcome=Outcome.CANCELLED if attempt.is_cancelled else Outcome.LOST)
        except _UNKNOWN as error:
            return self._hold(claim, error)
        except ModelPending as error:
            return Ending(outcome=Outcome.RELEASED, error=error, delay_s=self.policy.model_delay_s)
        except _FINAL as error:
            return Ending(outcome=Outcome.FAILED, error=error)
        except StoreUnavailable as error:
            return self._postpone(error)
        except ScratchGone:
            # Every other job would fail here as well: the process ends, its successor has a new scratch.
            raise
        except Exception as error:
            return Ending(outcome=Outcome.RETRIED, error=as_client_error(error), cause=error)
        self._store_failures = 0
        return Ending(outcome=Outcome.DONE, result=result)

    def _hold(self, claim: Claim, error: MsaasError) -> Ending:
        """Hold the job back for another worker, until `hold_s` after its enqueue."""
        job_id = claim.job.job_id
        # The id of a variant comes from a service that knows its options and their values.
        may_be_done = isinstance(error, UnknownOption | DecoderMissing) or source_of(job_id) != job_id
        if not may_be_done or claim.waited_s > self.policy.hold_s:
            return Ending(outcome=Outcome.FAILED, error=error)
        return Ending(outcome=Outcome.RELEASED, error=error, delay_s=self.policy.hold_delay_s)

    def _postpone(self, error: StoreUnavailable) -> Ending:
        policy = self.policy
        delay_s = min(policy.first_store_delay_s * 2**self._store_failures, policy.max_store_delay_s)
        self._store_failures = min(self._store_failures + 1, 10)
        return Ending(outcome=Outcome.RELEASED, error=error, delay_s=delay_s)

    def _report(self, claim: Claim, ending: Ending) -> Ending:
        """Report the ending until the queue acknowledges it. Return it, or a lost one.

        Each step is idempotent. Raises `QueueUnavailable` when the worker stops meanwhile.
        """
        while True:
            self.heartbeat()
            try:
                self._report_once(claim, ending)
                return ending
            except LeaseLost:
                return Ending(outcome=Outcome.LOST)
            except QueueUnavailable:
                if self.stopping.wait(self.policy.queue_retry_s):
                    raise

    def _report_once(self, claim: Claim, ending: Ending) -> None:
        consumer, error = self.consumer, job_error(ending.error)
        match ending.outcome:
            case Outcome.DONE if ending.result:
                consumer.finish(claim, ending.result)
            case Outcome.FAILED if error:
                consumer.fail(claim, error)
            case Outcome.RETRIED if error:
                consumer.retry(claim, error)
            case Outcome.RELEASED:
                consumer.release(claim, delay_s=ending.delay_s, error=error)
