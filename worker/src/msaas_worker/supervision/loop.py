"""The loop of a worker: take work, attend to it, report how it ended. No error of a song ends the loop."""

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from msaas.errors import LeaseLost, QueueUnavailable
from msaas.heartbeat import Beat, no_heartbeat
from msaas.logs import get_logger
from msaas_worker.attempt import OnStep, Step, ignore_step
from msaas_worker.supervision.endings import Ending, Outcome
from msaas_worker.supervision.outcome_log import OutcomeLog
from msaas_worker.supervision.policy import LoopPolicy
from msaas_worker.supervision.watched_attempt import WatchedAttempt

A = TypeVar("A", bound=WatchedAttempt)

log = get_logger()


@dataclass(kw_only=True)
class WorkerLoop(ABC, Generic[A]):
    """Runs until `stopping` is set. `attempt` is the running one: shutdown reads it from another thread."""

    stopping: threading.Event
    policy: LoopPolicy = LoopPolicy()
    heartbeat: Beat = no_heartbeat
    on_step: OnStep = ignore_step
    attempt: A | None = None
    exit_code: int = 0
    _log: OutcomeLog = field(init=False)
    _is_queue_away: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._log = OutcomeLog(max_attempts=self._max_attempts)

    @property
    @abstractmethod
    def _max_attempts(self) -> int: ...

    @abstractmethod
    def _take_and_work(self) -> None:
        """Take work, if there is any within the time, and do it. Raises `QueueUnavailable`."""

    @abstractmethod
    def _do(self, attempt: A) -> Ending: ...

    @abstractmethod
    def _report_once(self, attempt: A, ending: Ending) -> None:
        """Tell the source how the attempt ended. Raises `LeaseLost` or `QueueUnavailable`."""

    @abstractmethod
    def _leave(self) -> None:
        """Leave the source at the end of the loop."""

    def run(self) -> None:
        while not self.stopping.is_set():
            self.heartbeat()
            try:
                self._take_and_work()
            except QueueUnavailable as error:
                self._note_outage(error.detail)
                self.stopping.wait(self.policy.queue_retry_s)
        self._leave()

    def _note_outage(self, reason: str) -> None:
        if not self._is_queue_away:
            log.warning("queue_unavailable", reason=reason)
        self._is_queue_away = True

    def _note_answer(self) -> None:
        """The source answered."""
        if self._is_queue_away:
            log.info("queue_available")
        self._is_queue_away = False

    def _attend(self, attempt: A) -> Ending:
        """Do the work, and report how it ended. Raises `QueueUnavailable` when the worker stops meanwhile."""
        log.info("job_claimed", attempt=attempt.number)
        with attempt as self.attempt:
            ending = self._do(attempt)
            # Before the report: the lease may be lost, or the worker may stop while the queue is unavailable.
            self._log.log_failure(attempt, ending)
            ending = self._report(attempt, ending)
            self._log.log_ending(attempt, ending)
        self.attempt = None
        if ending.outcome is Outcome.DONE:
            self.on_step(Step.FINISHED, job_id=attempt.job_id)
        return ending

    def _report(self, attempt: A, ending: Ending) -> Ending:
        """Report the ending until the source acknowledges it. Return it, or a lost one.

        Each step is idempotent. Raises `QueueUnavailable` when the worker stops meanwhile.
        """
        while True:
            self.heartbeat()
            try:
                self._report_once(attempt, ending)
                return ending
            except LeaseLost:
                return Ending(outcome=Outcome.LOST)
            except QueueUnavailable:
                if self.stopping.wait(self.policy.queue_retry_s):
                    raise
