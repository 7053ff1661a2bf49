"""A job runner on the in-memory queue, in a thread of this process."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from msaas.jobs import Job, JobState, JobStatus
from msaas.queue.consumer import Result
from msaas.queue.memory import InMemoryQueue
from msaas.queue.protocol import QueuePolicy
from msaas.storage.memory import InMemoryStore
from msaas.storage.song_store import SongStore
from msaas_worker.attempt import Attempt
from msaas_worker.job.policy import WorkerPolicy
from msaas_worker.job.runner import Handle, JobRunner
from msaas_worker.supervision.shutdown import wind_down
from tests.servers import wait_until

ID = "a" * 64
QUEUE_POLICY = QueuePolicy(lease_s=0.6)
POLICY = WorkerPolicy(
    take_s=0.01,
    queue_retry_s=0.01,
    first_store_delay_s=0.05,
    hold_delay_s=0.05,
    model_delay_s=0.05,
    publish_s=0.05,
    unwind_s=0.5,
)
DONE = Result(model="htdemucs", device="cpu", stems=("drums", "bass", "other", "vocals"))


def fail_in_turn(*errors: Exception | None) -> Handle:
    """Return a handler that raises these errors in turn, and then does every job."""
    script = list(errors)

    def handle(job: Job, attempt: Attempt) -> Result:
        if script and (error := script.pop(0)):
            raise error
        return DONE

    return handle


@dataclass
class RunningWorker:
    runner: JobRunner
    thread: threading.Thread

    def stop(self, *, drain_s: float = 0.0) -> None:
        self.runner.stopping.set()
        wind_down(self.runner, self.thread, drain_s=drain_s)


def make_runner(
    queue: InMemoryQueue, handle: Handle, *, worker: str = "one", policy: WorkerPolicy = POLICY, **fields: Any
) -> JobRunner:
    return JobRunner(
        consumer=queue.consumer(worker),
        song_store=SongStore(InMemoryStore()),
        handle=handle,
        queue_policy=queue.policy,
        stopping=threading.Event(),
        policy=policy,
        **fields,
    )


@contextmanager
def running_worker(queue: InMemoryQueue, handle: Handle, **fields: Any) -> Iterator[RunningWorker]:
    """Run the jobs of the queue until the end of the context."""
    runner = make_runner(queue, handle, **fields)
    worker = RunningWorker(runner, threading.Thread(target=runner.run, daemon=True))
    worker.thread.start()
    try:
        yield worker
    finally:
        worker.stop()


def status_after(
    queue: InMemoryQueue, handle: Handle, until: Callable[[JobStatus], bool], **fields: Any
) -> JobStatus:
    """Run the job `ID` until its status satisfies the condition; return it. Delayed jobs come back."""
    queue.enqueue(Job(job_id=ID))
    return status_of_queued(queue, handle, until, **fields)


def status_of_queued(
    queue: InMemoryQueue,
    handle: Handle,
    until: Callable[[JobStatus], bool],
    *,
    job_id: str = ID,
    **fields: Any,
) -> JobStatus:
    """As `status_after`, with the job in the queue already."""

    def is_reached() -> bool:
        queue.reap()
        status = queue.status(job_id)
        return status is not None and until(status)

    with running_worker(queue, handle, **fields):
        wait_until(is_reached, timeout_s=20)
    status = queue.status(job_id)
    assert status
    return status


def has_ended(status: JobStatus) -> bool:
    return status.state in (JobState.DONE, JobState.FAILED)
