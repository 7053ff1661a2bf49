"""Graceful shutdown of a worker in this process."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from worker.tests.running_attempt import RunningAttempt
from worker.tests.running_worker import DONE, ID, POLICY, QUEUE_POLICY, running_worker

from msaas.jobs import Job, JobState
from msaas.queue.consumer import Result
from msaas.queue.memory import InMemoryQueue
from msaas_worker.attempt import Attempt
from msaas_worker.job.lease import LeasedAttempt
from msaas_worker.supervision.shutdown import wind_down


@pytest.fixture
def queue() -> InMemoryQueue:
    queue = InMemoryQueue(policy=QUEUE_POLICY)
    queue.enqueue(Job(job_id=ID))
    return queue


class AlmostDone:
    """A handler at 99 %, that ends when `over` is set."""

    def __init__(self) -> None:
        self.stuck, self.over = threading.Event(), threading.Event()

    def __call__(self, job: Job, attempt: Attempt) -> Result:
        time.sleep(0.05)
        attempt.report_progress(0.99)
        with attempt.pause_watchdog():
            self.stuck.set()
            assert self.over.wait(20)
        attempt.report_progress(1.0)
        return DONE


def state(queue: InMemoryQueue) -> JobState:
    status = queue.status(ID)
    assert status
    return status.state


def test_job_that_outlasts_the_drain_time_is_released(queue: InMemoryQueue) -> None:
    handle = AlmostDone()
    with capture_logs() as lines, running_worker(queue, handle) as worker:
        assert handle.stuck.wait(5)
        began = time.monotonic()
        worker.stop(drain_s=0.3)
        took_s = time.monotonic() - began
        assert queue.waiting() == [ID]
        handle.over.set()
        worker.thread.join(5)
    assert took_s < 5
    released = [line for line in lines if line["event"] == "job_released"]
    assert [(line["log_level"], line["job_id"]) for line in released] == [("info", ID)]
    assert not [line for line in lines if line["log_level"] == "warning"]


def test_job_that_ends_within_the_drain_time_is_finished(queue: InMemoryQueue) -> None:
    handle = AlmostDone()
    with running_worker(queue, handle) as worker:
        assert handle.stuck.wait(5)
        threading.Timer(0.1, handle.over.set).start()
        worker.stop(drain_s=10)
    assert state(queue) is JobState.DONE


def test_job_released_too_often_is_finished(queue: InMemoryQueue) -> None:
    queue.jobs[ID].releases = 5
    handle = AlmostDone()
    with running_worker(queue, handle) as worker:
        assert handle.stuck.wait(5)
        threading.Timer(0.3, handle.over.set).start()
        worker.stop()
    assert state(queue) is JobState.DONE


class EndingRunner:
    """A runner whose job ends after a number of looks at `attempt`."""

    policy = POLICY

    def __init__(self, attempt: LeasedAttempt, *, looks: int) -> None:
        self._attempts = [attempt] * looks

    @property
    def attempt(self) -> LeasedAttempt | None:
        return self._attempts.pop() if self._attempts else None


@pytest.mark.parametrize("looks", [1, 2, 3])
@pytest.mark.parametrize("drain_s", [0.0, 1.0])
def test_job_that_ends_during_the_shutdown_is_no_error(looks: int, drain_s: float, tmp_path: Path) -> None:
    attempt = RunningAttempt(tmp_path).attempt
    attempt.report_progress(0.99)
    thread = threading.Thread(target=lambda: None)
    thread.start()
    runner: Any = EndingRunner(attempt, looks=looks)
    wind_down(runner, thread, drain_s=drain_s)


def test_shutdown_without_a_queue_releases_nothing_and_ends(queue: InMemoryQueue) -> None:
    handle = AlmostDone()
    with running_worker(queue, handle) as worker:
        assert handle.stuck.wait(5)
        queue.away = True
        began = time.monotonic()
        worker.stop()
        assert time.monotonic() - began < 5
        queue.away = False
        assert state(queue) is JobState.RUNNING
        handle.over.set()
