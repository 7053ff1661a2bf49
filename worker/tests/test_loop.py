"""How each kind of failure ends a job, on the queue's twin in memory."""

import fcntl
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from msaas.errors import (
    LeaseLost,
    ModelUnavailable,
    MsaasError,
    SongMissing,
    SongTooLong,
    StoreUnavailable,
    UndecodableSong,
)
from msaas.jobs import Job, JobState, JobStatus
from msaas.queue.memory import InMemoryQueue
from msaas.queue.protocol import QueuePolicy, Result
from msaas_keeper.reaper import start_sweeping
from msaas_worker.job.lease import Lease
from msaas_worker.job.runner import Handle, JobRunner
from msaas_worker.job.shutdown import wind_down
from msaas_worker.scratch import Scratch
from tests.servers import wait_until

ID = "a" * 64
POLICY = QueuePolicy(lease_s=0.6)
DONE = Result("htdemucs", "cpu", ("drums", "bass", "other", "vocals"))


@pytest.fixture
def queue() -> InMemoryQueue:
    return InMemoryQueue(policy=POLICY)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msaas_worker.consumer._TAKE_S", 0.01)
    monkeypatch.setattr("msaas_worker.consumer._QUEUE_AWAY_S", 0.01)
    monkeypatch.setattr("msaas_worker.consumer._FIRST_STORE_DELAY_S", 0.05)


def raising(*errors: Exception | None) -> Handle:
    """A handler that fails as often as told, and then does the job."""
    script = list(errors)

    def handle(lease: Lease) -> Result:
        if script and (error := script.pop(0)):
            raise error
        return DONE

    return handle


class Running:
    """A loop in a thread of its own."""

    def __init__(self, queue: InMemoryQueue, handle: Handle, *, worker: str = "one") -> None:
        self.loop = JobRunner(queue.consumer(worker), handle, POLICY, threading.Event())
        self.thread = threading.Thread(target=self.loop.run, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.loop.stopping.set()
        wind_down(self.loop, self.thread, drain_s=0)


def state_after(queue: InMemoryQueue, handle: Handle, ends: Callable[[JobStatus], bool]) -> JobStatus:
    queue.enqueue(Job(job_id=ID))
    running = Running(queue, handle)
    wait_until(lambda: (found := queue.status(ID)) and ends(found), timeout_s=10)
    running.stop()
    status = queue.status(ID)
    assert status
    return status


def is_over(status: JobStatus) -> bool:
    return status.state in (JobState.DONE, JobState.FAILED)


@pytest.mark.parametrize("error", [SongMissing, SongTooLong, UndecodableSong, ModelUnavailable])
def test_what_no_further_attempt_can_mend_fails_at_once(
    error: type[MsaasError], queue: InMemoryQueue
) -> None:
    status = state_after(queue, raising(error("Because.")), is_over)
    assert status.error
    assert (status.state, status.attempts) == (JobState.FAILED, 1)
    assert (status.error.code, status.error.detail) == (error().code, "Because.")


def test_what_nobody_expected_is_tried_again(queue: InMemoryQueue) -> None:
    status = state_after(queue, raising(RuntimeError("out of luck")), is_over)
    assert (status.state, status.attempts) == (JobState.DONE, 2)


def test_what_always_happens_ends_with_its_reason(queue: InMemoryQueue) -> None:
    status = state_after(queue, raising(*[OSError("No space left on device")] * 3), is_over)
    assert status.error
    assert (status.state, status.attempts, status.error.code) == ("failed", 3, "separation_failed")
    assert status.error.detail == "OSError: No space left on device"
    assert queue.depth().dead == 1


def test_an_entry_that_breaks_the_claim_is_buried_and_the_next_is_done(
    queue: InMemoryQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decoded(payload: bytes) -> Job:
        if payload == b"poison":
            raise RuntimeError("what nobody thought of")
        return Job(job_id=ID)

    monkeypatch.setattr(Job, "decode", decoded)
    queue.push(b"poison")
    status = state_after(queue, raising(), is_over)
    assert (status.state, queue.depth().dead) == (JobState.DONE, 1)
    assert queue.dead_letters[0]["reason"] == "RuntimeError: what nobody thought of"


def test_a_store_that_is_away_costs_no_attempt(queue: InMemoryQueue) -> None:
    handle = raising(*[StoreUnavailable()] * 3)
    queue.enqueue(Job(job_id=ID))
    running = Running(queue, handle)
    wait_until(
        lambda: (
            (queue.reap() or True)
            and is_over(queue.status(ID) or JobStatus(job_id=ID, state=JobState.QUEUED))
        )
    )
    running.stop()
    status = queue.status(ID)
    assert status
    assert (status.state, status.attempts) == (JobState.DONE, 1)


def test_a_job_whose_lease_is_lost_is_left_alone(queue: InMemoryQueue) -> None:
    taken = threading.Event()

    def robbed(lease: Lease) -> Result:
        queue.consumer("one").release(lease.claim)
        taken.set()
        lease.verify()
        raise AssertionError("the lease was confirmed")

    queue.enqueue(Job(job_id=ID))
    running = Running(queue, robbed)
    assert taken.wait(5)
    running.stop()
    assert queue.waiting() == [ID]


def test_a_job_that_comes_with_the_signal_to_stop_is_given_back(queue: InMemoryQueue) -> None:
    queue.enqueue(Job(job_id=ID))
    loop = JobRunner(queue.consumer("one"), raising(), POLICY, threading.Event())
    payload = loop.consumer.take(timeout_s=0)
    assert payload
    loop.stopping.set()
    loop._work(payload)
    status = queue.status(ID)
    assert status
    assert (status.state, status.attempts) == (JobState.QUEUED, 0)


def lease_on(queue: InMemoryQueue, *, on_stall: Callable[[str], None] = lambda job_id: None) -> Lease:
    queue.enqueue(Job(job_id=ID))
    consumer = queue.consumer("one")
    payload = consumer.take(timeout_s=0)
    assert payload
    claim = consumer.claim(Job(job_id=ID), payload=payload)
    return Lease(consumer, claim, policy=POLICY, on_stall=on_stall)


def test_a_lease_is_kept_as_long_as_the_job_moves(queue: InMemoryQueue) -> None:
    with lease_on(queue) as lease:
        for step in range(30):
            lease.report_progress(step / 30)
            time.sleep(0.05)
            assert queue.reap() == []


def test_progress_is_told_between_renewals(queue: InMemoryQueue) -> None:
    with lease_on(queue) as lease:
        lease.set_model(model="htdemucs", device="cpu")
        lease.report_progress(0.5)
        wait_until(lambda: (found := queue.status(ID)) and (found.progress, found.model) == (0.5, "htdemucs"))


def test_a_job_that_does_not_move_hangs(queue: InMemoryQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msaas_worker.lease._STALL_RENEWALS", 3)
    stalled: list[str] = []
    with lease_on(queue, on_stall=stalled.append):
        wait_until(lambda: stalled == [ID], timeout_s=5)


def test_what_has_a_limit_of_its_own_does_not_hang(
    queue: InMemoryQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("msaas_worker.lease._STALL_RENEWALS", 3)
    stalled: list[str] = []
    with lease_on(queue, on_stall=stalled.append) as lease, lease.pause_watchdog():
        time.sleep(2)
    assert stalled == []


def test_a_job_whose_lease_is_lost_still_hangs(queue: InMemoryQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msaas_worker.lease._STALL_RENEWALS", 3)
    stalled: list[str] = []
    with lease_on(queue, on_stall=stalled.append) as lease:
        queue.consumer("one").release(lease.claim)
        wait_until(lambda: stalled == [ID], timeout_s=5)


def test_the_first_step_after_a_loss_ends_the_work(queue: InMemoryQueue) -> None:
    with lease_on(queue) as lease:
        lease.release()
        with pytest.raises(LeaseLost):
            lease.report_progress(0.5)


def test_what_remains_is_told_from_what_is_done(queue: InMemoryQueue) -> None:
    began = time.monotonic()
    with lease_on(queue) as lease:
        assert lease.eta_s() == float("inf")
        time.sleep(0.2)
        lease.report_progress(0.5)
        assert 0.2 <= lease.eta_s() <= time.monotonic() - began


def test_a_worker_that_starts_returns_at_once_what_nobody_was_there_to_return(queue: InMemoryQueue) -> None:
    queue.delayed[Job(job_id=ID).encode()] = time.time() - 1
    stopping = threading.Event()
    start_sweeping(queue, every_s=3600, stopping=stopping)
    wait_until(lambda: queue.waiting() == [ID], timeout_s=5)
    stopping.set()


def test_scratch_of_a_living_worker_stays_and_of_a_dead_one_goes(tmp_path: Path) -> None:
    living = Scratch(tmp_path)
    dead = Scratch(tmp_path)
    dead._lock.close()
    folders = {living._folder, dead._folder}
    third = Scratch(tmp_path)
    assert set(tmp_path.iterdir()) & folders == {living._folder}
    living.remove()
    third.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_starts_beside_another_leaves_it_its_scratch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    siblings: list[Scratch] = []
    lock = fcntl.flock

    def sibling_first(file: IO[str], operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        siblings.append(Scratch(tmp_path))
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", sibling_first)
    scratch = Scratch(tmp_path)
    assert siblings
    with scratch.folder() as folder:
        assert folder.is_dir()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_without_its_scratch_ends_and_gives_its_job_back(
    queue: InMemoryQueue, tmp_path: Path
) -> None:
    scratch = Scratch(tmp_path)
    shutil.rmtree(scratch._folder)

    def handle(lease: Lease) -> Result:
        with scratch.folder():
            return DONE

    queue.enqueue(Job(job_id=ID))
    running = Running(queue, handle)
    running.thread.join(5)
    assert not running.thread.is_alive()
    running.stop()
    status = queue.status(ID)
    assert status
    assert (status.state, status.attempts) == (JobState.QUEUED, 0)


def test_a_job_that_outlasts_the_time_to_drain_is_given_back(queue: InMemoryQueue) -> None:
    stuck, over = threading.Event(), threading.Event()

    def almost_done(lease: Lease) -> Result:
        time.sleep(0.1)
        lease.report_progress(0.99)
        with lease.pause_watchdog():  # Else the stall would end the tests' own process.
            stuck.set()
            over.wait(15)
        return DONE

    queue.enqueue(Job(job_id=ID))
    running = Running(queue, almost_done)
    assert stuck.wait(5)
    told_at = time.monotonic()
    running.loop.stopping.set()
    wind_down(running.loop, running.thread, drain_s=0.3)
    took_s = time.monotonic() - told_at
    over.set()
    running.thread.join(5)
    assert took_s < 5
    assert queue.waiting() == [ID]
