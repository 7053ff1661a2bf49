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
from msaas.jobs import Job
from msaas.logs import get_logger, log_context
from msaas.metrics import JOBS, QUEUE_WAIT
from msaas.queue.consumer import Claim, Consumer, Result
from msaas.queue.protocol import QueuePolicy
from msaas.songs import source_of
from msaas.storage.song_store import SongStore
from msaas_worker.attempt import Attempt, Step
from msaas_worker.job.lease import LeasedAttempt
from msaas_worker.job.policy import WorkerPolicy
from msaas_worker.scratch import ScratchGone
from msaas_worker.separators import ModelPending
from msaas_worker.supervision.endings import Ending, Outcome, as_client_error, describe, job_error
from msaas_worker.supervision.loop import WorkerLoop

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
class JobRunner(WorkerLoop[LeasedAttempt]):
    """Does the jobs of the queue."""

    consumer: Consumer
    song_store: SongStore
    handle: Handle
    queue_policy: QueuePolicy
    policy: WorkerPolicy = WorkerPolicy()
    #: Set after each job: its callbacks are due.
    job_ended: threading.Event = field(default_factory=threading.Event)
    _store_failures: int = field(default=0, init=False)

    @property
    def _max_attempts(self) -> int:
        return self.queue_policy.max_attempts

    def _take_and_work(self) -> None:
        payload = self.consumer.take(timeout_s=self.policy.take_s)
        self._note_answer()
        if payload is not None:
            self.work(payload)

    def _leave(self) -> None:
        with suppress(QueueUnavailable):
            self.consumer.deregister()

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
        if claim.is_first:
            QUEUE_WAIT.observe(claim.waited_s)
        ending = self._attend(self._attempt_at(claim))
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

    def _do(self, attempt: LeasedAttempt) -> Ending:
        claim = attempt.claim
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

    def _report_once(self, attempt: LeasedAttempt, ending: Ending) -> None:
        claim, error = attempt.claim, job_error(ending.error)
        match ending.outcome:
            case Outcome.DONE if ending.result:
                self.consumer.finish(claim, ending.result)
            case Outcome.FAILED if error:
                self.consumer.fail(claim, error)
            case Outcome.RETRIED if error:
                self.consumer.retry(claim, error)
            case Outcome.RELEASED:
                self.consumer.release(claim, delay_s=ending.delay_s, error=error)
