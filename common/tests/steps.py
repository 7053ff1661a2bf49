"""The steps of a job that every test of a queue takes."""

from msaas.jobs import Job, JobError, JobState
from msaas.queue.consumer import Claim, Consumer, Result
from msaas.queue.protocol import JobQueue

SONG, OTHER, THIRD = "a" * 64, "b" * 64, "c" * 64
RESULT = Result(model="htdemucs", device="cpu", stems=("drums", "bass", "other", "vocals"))
OOPS = JobError("separation_failed", "The separation failed.", "oops")
AT_ONCE_S = 0.05


def claim_next(consumer: Consumer) -> Claim:
    payload = consumer.take(timeout_s=AT_ONCE_S)
    assert payload is not None
    return consumer.claim(Job.decode(payload), payload=payload)


def state(queue: JobQueue, job_id: str = SONG) -> JobState:
    status = queue.status(job_id)
    assert status is not None
    return status.state
