"""Reaper: requeues the jobs of expired leases, and delayed jobs that are due."""

from msaas.jobs import JobState
from msaas.logs import get_logger
from msaas.metrics import JOBS
from msaas.queue.protocol import EXHAUSTED, JobQueue

log = get_logger()


def reap(queue: JobQueue) -> None:
    """Raises `QueueUnavailable`."""
    for job_id in queue.reap():
        status = queue.status(job_id)
        if status and status.state is JobState.FAILED and status.error == EXHAUSTED:
            log.error("job_failed", job_id=job_id, attempt=status.attempts, reason=EXHAUSTED.detail)
            JOBS.labels(JobState.FAILED, status.model or "").inc()
        else:
            log.warning("job_reaped", job_id=job_id)
