"""Graceful shutdown of a worker: a job that is almost done is finished, any other is given back."""

import threading
from contextlib import suppress
from typing import Protocol

from msaas.errors import LeaseLost, QueueUnavailable
from msaas.logs import get_logger

log = get_logger()


class Releasable(Protocol):
    """The attempt that runs."""

    @property
    def job_id(self) -> str: ...

    def eta_s(self) -> float: ...

    def must_finish(self) -> bool: ...

    def release(self) -> None: ...


class StopPolicy(Protocol):
    @property
    def unwind_s(self) -> float:
        """On SIGTERM, time for the current segment in s."""


class Stoppable(Protocol):
    """A runner, of jobs or of songs."""

    @property
    def attempt(self) -> Releasable | None: ...

    @property
    def policy(self) -> StopPolicy: ...


def wind_down(runner: Stoppable, thread: threading.Thread, *, drain_s: float) -> None:
    """Let the runner end by itself, or give its job back, so that the process can end without a loss."""
    # Another thread clears `runner.attempt`: each look at it is one read.
    attempt = runner.attempt
    if attempt and _is_worth_finishing(attempt, drain_s):
        log.info("worker_draining", job_id=attempt.job_id)
        # The estimate may be wrong and the queue away: the granted time is the limit.
        thread.join(None if attempt.must_finish() else drain_s)
    attempt = runner.attempt
    if attempt:
        _release(attempt)
    thread.join(timeout=runner.policy.unwind_s)


def _is_worth_finishing(attempt: Releasable, drain_s: float) -> bool:
    return attempt.must_finish() or attempt.eta_s() <= drain_s


def _release(attempt: Releasable) -> None:
    with suppress(LeaseLost, QueueUnavailable):  # Without a queue the reaper finds the job.
        attempt.release()
        log.info("job_released", job_id=attempt.job_id, reason="The worker stops.")
