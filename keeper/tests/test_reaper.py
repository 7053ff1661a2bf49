"""The reaper returns jobs of dead workers and logs those that ended."""

import pytest
from structlog.testing import capture_logs

from msaas.jobs import Job, JobState
from msaas.queue.memory import InMemoryQueue
from msaas.queue.protocol import QueuePolicy
from msaas_keeper.reaper import reap

JOB_ID = "a" * 64


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> InMemoryQueue:
    return InMemoryQueue(policy=QueuePolicy(max_attempts=2), clock=clock)


def claim_and_die(queue: InMemoryQueue, clock: Clock, *, worker: str) -> None:
    consumer = queue.consumer(worker)
    payload = consumer.take(timeout_s=0)
    assert payload
    consumer.claim(Job.decode(payload), payload=payload)
    clock.now += queue.policy.lease_s + 1


def test_job_of_a_dead_worker_is_returned_with_a_warning(queue: InMemoryQueue, clock: Clock) -> None:
    queue.enqueue(Job(job_id=JOB_ID))
    claim_and_die(queue, clock, worker="w1")
    with capture_logs() as lines:
        reap(queue)
    assert queue.waiting() == [JOB_ID]
    assert [(line["log_level"], line["event"], line["job_id"]) for line in lines] == [
        ("warning", "job_reaped", JOB_ID)
    ]


def test_job_without_further_attempts_fails_with_an_error_line(queue: InMemoryQueue, clock: Clock) -> None:
    queue.enqueue(Job(job_id=JOB_ID))
    for worker in ("w1", "w2"):
        claim_and_die(queue, clock, worker=worker)
        with capture_logs() as lines:
            reap(queue)
    status = queue.status(JOB_ID)
    assert status
    assert status.state is JobState.FAILED
    [line] = lines
    assert (line["log_level"], line["event"], line["job_id"]) == ("error", "job_failed", JOB_ID)
    assert line["attempt"] == 2


def test_delayed_job_is_returned_when_it_is_due(queue: InMemoryQueue, clock: Clock) -> None:
    queue.delayed[Job(job_id=JOB_ID).encode()] = clock.now + 10
    reap(queue)
    assert queue.waiting() == []
    clock.now += 11
    reap(queue)
    assert queue.waiting() == [JOB_ID]
