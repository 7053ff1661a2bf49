"""Song runner: take a song of the broker, work on it, settle its delivery. No error of a song ends the loop.

A message that kills its workers must not go round for ever. A broker tells at most that a message was
delivered before, never how often. A song that was delivered before is therefore first replaced by a copy that
counts the attempt. The copy is in the broker before the work begins, in every kind of queue.
"""

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
    SongDeleted,
    SongTooLong,
    UndecodableSong,
)
from msaas.logs import get_logger, log_context
from msaas.queue.songs import Delivery, SongConsumer, SongMessage
from msaas_worker.attempt import Attempt, Step
from msaas_worker.scratch import ScratchGone
from msaas_worker.separators import ModelPending, Separators
from msaas_worker.sources.attempt import DeliveryAttempt
from msaas_worker.sources.policy import SourcePolicy
from msaas_worker.supervision.endings import Ending, Outcome, as_client_error
from msaas_worker.supervision.loop import WorkerLoop

#: A further attempt would end in the same way.
_FINAL = (InvalidId, SongDamaged, SongTooLong, UndecodableSong, ResultRefused)

Handle = Callable[[SongMessage, Attempt], None]

log = get_logger()


@dataclass(kw_only=True)
class SongRunner(WorkerLoop[DeliveryAttempt]):
    """Separates the songs of a broker."""

    consumer: SongConsumer
    handle: Handle
    separators: Separators
    model: str
    max_attempts: int
    policy: SourcePolicy = SourcePolicy()
    _is_model_away: bool = field(default=False, init=False)

    @property
    def _max_attempts(self) -> int:
        return self.max_attempts

    def _take_and_work(self) -> None:
        if not self._has_model():
            self.stopping.wait(self.policy.model_delay_s)
            return
        delivery = self.consumer.take(timeout_s=self.policy.take_s)
        self._note_answer()
        if delivery is not None:
            self.work(delivery)

    def _leave(self) -> None:
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

    def work(self, delivery: Delivery) -> None:
        """Work on a song that was taken, and settle its delivery. Raises `QueueUnavailable`."""
        with log_context(job_id=delivery.message.message_id):
            ending = self._attend(
                DeliveryAttempt(delivery, policy=self.policy, heartbeat=self.heartbeat, on_step=self.on_step)
            )
        if isinstance(ending.error, BackendUnavailable):
            # While the backend is away every other song would be separated for nothing.
            self.stopping.wait(self.policy.max_upload_delay_s)

    def _do(self, attempt: DeliveryAttempt) -> Ending:
        delivery = attempt.delivery
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
        except SongDeleted:
            return Ending(outcome=Outcome.CANCELLED)
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
            return Ending(outcome=Outcome.RETRIED, error=as_client_error(error), cause=error)
        return Ending(outcome=Outcome.DONE)

    def _report_once(self, attempt: DeliveryAttempt, ending: Ending) -> None:
        delivery, error = attempt.delivery, ending.error
        match ending.outcome:
            case Outcome.DONE | Outcome.CANCELLED:
                delivery.complete()
            case Outcome.FAILED if error:
                delivery.dead_letter(f"{error.code}: {error}")
            case Outcome.RETRIED if error and attempt.number >= self.max_attempts:
                delivery.dead_letter(f"{error.code}: {error}")
            case Outcome.RETRIED:
                delivery.retry()
            case Outcome.RELEASED:
                delivery.release()


def _exhausted(attempts: int) -> AttemptsExhausted:
    return AttemptsExhausted(f"Stopped after {attempts} attempts: each worker that had the song ended.")
