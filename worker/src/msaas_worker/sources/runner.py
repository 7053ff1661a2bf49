"""Song runner: take a song of the broker, work on it, settle its delivery. No error of a song ends the loop.

A message that kills its workers must not go round for ever. A broker tells at most that a message was
delivered before, never how often. A song that was delivered before is therefore first replaced by a copy that
counts the attempt. The copy is in the broker before the work begins, in every kind of queue.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from msaas.errors import (
    AttemptsExhausted,
    BackendUnavailable,
    InvalidId,
    LeaseLost,
    ModelUnavailable,
    QueueUnavailable,
    ResultRefused,
    SongDamaged,
    SongTooLong,
    UndecodableSong,
)
from msaas.heartbeat import Beat, no_heartbeat
from msaas.logs import get_logger, log_context
from msaas.metrics import JOBS
from msaas.queue.songs import Delivery, SongConsumer, SongMessage
from msaas_worker.attempt import Attempt, OnStep, Step, ignore_step
from msaas_worker.job.endings import Ending, Outcome, as_client_error, describe
from msaas_worker.scratch import ScratchGone
from msaas_worker.separators import ModelPending, Separators
from msaas_worker.sources.attempt import DeliveryAttempt
from msaas_worker.sources.policy import SourcePolicy

#: A further attempt would end in the same way.
_FINAL = (InvalidId, SongDamaged, SongTooLong, UndecodableSong, ResultRefused)

Handle = Callable[[SongMessage, Attempt], None]

log = get_logger()


@dataclass(kw_only=True)
class SongRunner:
    """Runs until `stopping` is set. `attempt` is the running one: shutdown reads it from another thread."""

    consumer: SongConsumer
    handle: Handle
    separators: Separators
    model: str
    max_attempts: int
    stopping: threading.Event
    policy: SourcePolicy = SourcePolicy()
    heartbeat: Beat = no_heartbeat
    on_step: OnStep = ignore_step
    attempt: DeliveryAttempt | None = None
    exit_code: int = 0
    _is_queue_away: bool = field(default=False, init=False)
    _is_model_away: bool = field(default=False, init=False)

    def run(self) -> None:
        while not self.stopping.is_set():
            self.heartbeat()
            if self._has_model():
                self._take_and_work()
            else:
                self.stopping.wait(self.policy.model_delay_s)
        self.consumer.close()

    def _has_model(self) -> bool:
        """Return whether the model can be used. Songs wait for it in the queue, open to other workers."""
        try:
            self.separators.get(self.model)
        except ModelUnavailable as error:
            if not self._is_model_away:
                report = log.info if isinstance(error, ModelPending) else log.warning
                report("model_awaited", model=self.model, reason=error.detail)
            self._is_model_away = True
            return False
        self._is_model_away = False
        return True

    def _take_and_work(self) -> None:
        try:
            delivery = self.consumer.take(timeout_s=self.policy.take_s)
            self._note_queue(is_away=False)
            if delivery is not None:
                self.work(delivery)
        except QueueUnavailable as error:
            self._note_queue(is_away=True, reason=error.detail)
            self.stopping.wait(self.policy.queue_retry_s)

    def _note_queue(self, *, is_away: bool, reason: str = "") -> None:
        if is_away and not self._is_queue_away:
            log.warning("queue_unavailable", reason=reason)
        elif self._is_queue_away and not is_away:
            log.info("queue_available")
        self._is_queue_away = is_away

    def work(self, delivery: Delivery) -> None:
        """Work on a song that was taken, and settle its delivery. Raises `QueueUnavailable`."""
        with log_context(job_id=delivery.message.message_id):
            log.info("job_claimed", attempt=delivery.attempt)
            attempt = DeliveryAttempt(
                delivery, policy=self.policy, heartbeat=self.heartbeat, on_step=self.on_step
            )
            with attempt as self.attempt:
                ending = self._do(delivery, attempt)
                # Before the report: the delivery may be lost, or the worker may stop meanwhile.
                self._log_failure(delivery, ending)
                ending = self._report(delivery, ending)
                self._log_ending(attempt, ending)
            self.attempt = None
        if ending.outcome is Outcome.DONE:
            self.on_step(Step.FINISHED, job_id=delivery.message.message_id)
        if isinstance(ending.error, BackendUnavailable):
            # While the backend is away every other song would be separated for nothing.
            self.stopping.wait(self.policy.max_upload_delay_s)

    def _do(self, delivery: Delivery, attempt: DeliveryAttempt) -> Ending:
        if delivery.attempt > self.max_attempts:
            return Ending(outcome=Outcome.FAILED, error=_exhausted(delivery.attempt - 1))
        try:
            if delivery.is_redelivered:
                delivery.hold()
            attempt.reach(Step.CLAIMED)
            if self.stopping.is_set():  # The song came in the moment of the signal.
                return Ending(outcome=Outcome.RELEASED)
            self.handle(delivery.message, attempt)
        except LeaseLost:
            return Ending(outcome=Outcome.LOST)
        except QueueUnavailable as error:
            return Ending(outcome=Outcome.RELEASED, error=error)
        except _FINAL as error:
            return Ending(outcome=Outcome.FAILED, error=error)
        except (BackendUnavailable, ModelUnavailable) as error:
            return Ending(outcome=Outcome.RELEASED, error=error)
        except ScratchGone:
            # Every other song would fail here as well: the process ends, its successor has a new scratch.
            raise
        except Exception as error:
            is_last = delivery.attempt >= self.max_attempts
            outcome = Outcome.FAILED if is_last else Outcome.RETRIED
            return Ending(outcome=outcome, error=as_client_error(error), cause=error)
        return Ending(outcome=Outcome.DONE)

    def _report(self, delivery: Delivery, ending: Ending) -> Ending:
        """Settle the delivery. Return the ending, or a lost one. Raises `QueueUnavailable` on a stop."""
        while True:
            self.heartbeat()
            try:
                self._report_once(delivery, ending)
                return ending
            except LeaseLost:
                return Ending(outcome=Outcome.LOST)
            except QueueUnavailable:
                if self.stopping.wait(self.policy.queue_retry_s):
                    raise

    def _report_once(self, delivery: Delivery, ending: Ending) -> None:
        match ending.outcome:
            case Outcome.DONE:
                delivery.complete()
            case Outcome.FAILED if ending.error:
                delivery.dead_letter(f"{ending.error.code}: {ending.error}")
            case Outcome.RETRIED:
                delivery.retry()
            case Outcome.RELEASED:
                delivery.release()

    def _log_failure(self, delivery: Delivery, ending: Ending) -> None:
        """Log an unexpected error with its traceback."""
        if ending.cause:
            event = "job_failed" if ending.outcome is Outcome.FAILED else "attempt_failed"
            log.error(event, attempt=delivery.attempt, reason=describe(ending.cause), exc_info=ending.cause)

    def _log_ending(self, attempt: DeliveryAttempt, ending: Ending) -> None:
        """Log and count the outcome. An unexpected error is logged already."""
        outcome = ending.outcome
        match outcome:
            case Outcome.DONE:
                log.info("job_finished", model=attempt.model)
            case Outcome.FAILED if not ending.cause:
                log.warning("job_failed", attempt=attempt.delivery.attempt, reason=str(ending.error))
            case Outcome.RELEASED if ending.error:
                log.warning("job_released", reason=str(ending.error))
            case Outcome.RELEASED:
                log.info("job_released", reason="The worker stops.")
            case Outcome.LOST if attempt.is_released:
                outcome = Outcome.RELEASED  # By the shutdown, which logged it.
            case Outcome.LOST:
                log.warning("lease_lost")
        JOBS.labels(outcome, attempt.model).inc()


def _exhausted(attempts: int) -> AttemptsExhausted:
    return AttemptsExhausted(f"Stopped after {attempts} attempts: each worker that had the song ended.")
