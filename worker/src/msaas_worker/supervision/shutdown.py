"""Graceful shutdown of a worker: a job that is almost done is finished, any other is given back."""

import threading
from contextlib import suppress
from typing import Any

from msaas.errors import LeaseLost, QueueUnavailable
from msaas.logs import get_logger
from msaas_worker.supervision.loop import WorkerLoop
from msaas_worker.supervision.watched_attempt import WatchedAttempt

log = get_logger()


def wind_down(runner: WorkerLoop[Any], thread: threading.Thread, *, drain_s: float) -> None:
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


def _is_worth_finishing(attempt: WatchedAttempt, drain_s: float) -> bool:
    return attempt.must_finish() or attempt.eta_s() <= drain_s


def _release(attempt: WatchedAttempt) -> None:
    with suppress(LeaseLost, QueueUnavailable):  # Without a queue the reaper finds the job.
        attempt.release()
        log.info("job_released", job_id=attempt.job_id, reason="The worker stops.")
