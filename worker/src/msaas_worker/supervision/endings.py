"""Endings of an attempt, and the texts of its errors for clients and for operators."""

from dataclasses import dataclass
from enum import StrEnum

from msaas.errors import MsaasError, SeparationFailed
from msaas.jobs import JobError
from msaas.queue.consumer import Result


class Outcome(StrEnum):
    DONE = "done"
    FAILED = "failed"
    RETRIED = "retried"
    RELEASED = "released"
    LOST = "lost"
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How an attempt ended: the value that is reported to the queue."""

    outcome: Outcome
    result: Result | None = None
    error: MsaasError | None = None
    #: The exception behind `error`, for the log.
    cause: BaseException | None = None
    delay_s: float = 0.0


def job_error(error: MsaasError | None) -> JobError | None:
    return JobError(error.code, error.title, error.detail) if error else None


def as_client_error(error: Exception) -> MsaasError:
    """Return an error for clients: the text of an unexpected exception means nothing to them."""
    if isinstance(error, MsaasError):
        return error
    return SeparationFailed(
        f"The separation failed ({type(error).__name__}). "
        "The log of the worker has the cause under this job id."
    )


def describe(error: BaseException) -> str:
    """Return the text of an error for operators."""
    return str(error) if isinstance(error, MsaasError) else f"{type(error).__name__}: {error}"[:300]
