"""Log lines and metrics of the endings of attempts."""

from msaas.errors import MsaasError
from msaas.logs import get_logger
from msaas.metrics import JOBS
from msaas.queue.consumer import Claim
from msaas_worker.job.endings import Ending, Outcome, describe
from msaas_worker.job.lease import LeasedAttempt
from msaas_worker.separators import ModelPending

#: The releases of this number of jobs are remembered.
_MAX_REMEMBERED = 1000

log = get_logger()


class OutcomeLog:
    """Logs and counts how attempts end."""

    def __init__(self, *, max_attempts: int) -> None:
        self._max_attempts = max_attempts
        #: By job: the codes of the errors it was released for.
        self._released: dict[str, set[str]] = {}

    def log_failure(self, claim: Claim, ending: Ending) -> None:
        """Log an unexpected error with its traceback."""
        if ending.outcome is Outcome.RETRIED and ending.cause:
            event = "job_failed" if self._is_last(claim) else "attempt_failed"
            log.error(event, attempt=claim.attempt, reason=describe(ending.cause), exc_info=ending.cause)

    def _is_last(self, claim: Claim) -> bool:
        return claim.attempt >= self._max_attempts

    def log_ending(self, attempt: LeasedAttempt, ending: Ending) -> None:
        """Log and count the outcome. The failure of an attempt is logged already."""
        claim, outcome = attempt.claim, ending.outcome
        match outcome:
            case Outcome.DONE:
                log.info("job_finished", model=ending.result.model if ending.result else "")
            case Outcome.FAILED:
                log.warning("job_failed", attempt=claim.attempt, reason=str(ending.error))
            case Outcome.RETRIED if self._is_last(claim):
                outcome = Outcome.FAILED
            case Outcome.RELEASED if ending.error:
                self._log_release(claim, ending.error, delay_s=ending.delay_s)
            case Outcome.RELEASED:
                log.info("job_released", reason="The worker stops.")
            case Outcome.CANCELLED:
                log.info("job_cancelled")
            case Outcome.LOST if attempt.is_released:
                outcome = Outcome.RELEASED  # By the shutdown, which logged it.
            case Outcome.LOST:
                log.warning("lease_lost")
        if outcome in (Outcome.DONE, Outcome.FAILED):
            self._released.pop(claim.job.job_id, None)
        JOBS.labels(outcome, attempt.model).inc()

    def _log_release(self, claim: Claim, error: MsaasError, *, delay_s: float) -> None:
        """Warn once for each job and reason: a job may be released every few seconds for an hour."""
        codes = self._released.setdefault(claim.job.job_id, set())
        if error.code in codes:
            report = log.debug
        else:
            # Waiting for a download is not a failure.
            report = log.info if isinstance(error, ModelPending) else log.warning
        codes.add(error.code)
        report("job_released", delay_s=delay_s, reason=str(error))
        while len(self._released) > _MAX_REMEMBERED:
            del self._released[next(iter(self._released))]
