"""Log lines and metrics of the endings of attempts."""

from msaas.errors import MsaasError
from msaas.logs import get_logger
from msaas.metrics import JOBS
from msaas_worker.separators import ModelPending
from msaas_worker.supervision.endings import Ending, Outcome, describe
from msaas_worker.supervision.watched_attempt import WatchedAttempt

#: The releases of this number of jobs are remembered.
_MAX_REMEMBERED = 1000

log = get_logger()


class OutcomeLog:
    """Logs and counts how attempts end."""

    def __init__(self, *, max_attempts: int) -> None:
        self._max_attempts = max_attempts
        #: By job: the codes of the errors it was released for.
        self._released: dict[str, set[str]] = {}

    def log_failure(self, attempt: WatchedAttempt, ending: Ending) -> None:
        """Log an unexpected error with its traceback."""
        if ending.outcome is Outcome.RETRIED and ending.cause:
            event = "job_failed" if self._is_last(attempt) else "attempt_failed"
            log.error(event, attempt=attempt.number, reason=describe(ending.cause), exc_info=ending.cause)

    def _is_last(self, attempt: WatchedAttempt) -> bool:
        return attempt.number >= self._max_attempts

    def log_ending(self, attempt: WatchedAttempt, ending: Ending) -> None:
        """Log and count the outcome. The failure of an attempt is logged already."""
        outcome = ending.outcome
        match outcome:
            case Outcome.DONE:
                log.info("job_finished", model=ending.result.model if ending.result else attempt.model)
            case Outcome.FAILED:
                log.warning("job_failed", attempt=attempt.number, reason=str(ending.error))
            case Outcome.RETRIED if self._is_last(attempt):
                outcome = Outcome.FAILED
            case Outcome.RELEASED if ending.error:
                self._log_release(attempt.job_id, ending.error, delay_s=ending.delay_s)
            case Outcome.RELEASED:
                log.info("job_released", reason="The worker stops.")
            case Outcome.CANCELLED:
                log.info("job_cancelled")
            case Outcome.LOST if attempt.is_released:
                outcome = Outcome.RELEASED  # By the shutdown, which logged it.
            case Outcome.LOST:
                log.warning("lease_lost")
        if outcome in (Outcome.DONE, Outcome.FAILED):
            self._released.pop(attempt.job_id, None)
        JOBS.labels(outcome, attempt.model).inc()

    def _log_release(self, job_id: str, error: MsaasError, *, delay_s: float) -> None:
        """Warn once for each job and reason: a job may be released every few seconds for an hour."""
        codes = self._released.setdefault(job_id, set())
        if error.code in codes:
            report = log.debug
        else:
            # Waiting for a download is not a failure.
            report = log.info if isinstance(error, ModelPending) else log.warning
        codes.add(error.code)
        report("job_released", delay_s=delay_s, reason=str(error))
        while len(self._released) > _MAX_REMEMBERED:
            del self._released[next(iter(self._released))]
