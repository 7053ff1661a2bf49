"""How each kind of failure ends an attempt, on the in-memory queue."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict
from worker.tests.running_worker import (
    DONE,
    ID,
    POLICY,
    QUEUE_POLICY,
    fail_in_turn,
    has_ended,
    make_runner,
    running_worker,
    status_after,
    status_of_queued,
)

from common.tests.backends import Clock
from msaas.errors import (
    FormatUnavailable,
    LeaseLost,
    ModelUnavailable,
    MsaasError,
    QueueUnavailable,
    SongMissing,
    SongTooLong,
    StoreUnavailable,
    UndecodableSong,
    UnknownFormat,
    UnknownModel,
    UnknownOption,
)
from msaas.jobs import Callback, Job, JobState
from msaas.metrics import JOBS, QUEUE_WAIT
from msaas.queue.consumer import Result
from msaas.queue.memory import InMemoryQueue
from msaas_worker.attempt import Attempt, Step
from msaas_worker.job.lease import LeasedAttempt
from msaas_worker.job.runner import Handle
from msaas_worker.scratch import Scratch, ScratchGone
from msaas_worker.separators import ModelPending
from tests.servers import wait_until

VARIANT_ID = f"{ID}.0123456789ab"


@pytest.fixture
def queue() -> InMemoryQueue:
    return InMemoryQueue(policy=QUEUE_POLICY)


@pytest.fixture
def log_lines() -> Iterator[list[EventDict]]:
    with capture_logs() as lines:
        yield lines


def failures(lines: list[EventDict]) -> list[tuple[str, str]]:
    """Return level and event of the lines that `LOG_LEVEL=warning` shows."""
    return [(line["log_level"], line["event"]) for line in lines if line["log_level"] in ("warning", "error")]


def outcome_count(outcome: str) -> float:
    """Return the number of attempts that ended like this before their model was known."""
    return sum(
        sample.value
        for metric in JOBS.collect()
        for sample in metric.samples
        if sample.labels == {"outcome": outcome, "model": ""}
    )


def run_once(queue: InMemoryQueue, handle: Handle) -> None:
    """Do one job in this thread."""
    queue.enqueue(Job(job_id=ID))
    runner = make_runner(queue, handle)
    payload = runner.consumer.take(timeout_s=0)
    assert payload
    runner.work(payload)


# Errors of a job


@pytest.mark.parametrize(
    "error", [SongMissing, SongTooLong, UndecodableSong, ModelUnavailable, UnknownModel, UnknownFormat]
)
def test_permanent_error_fails_at_the_first_attempt(
    error: type[MsaasError], queue: InMemoryQueue, log_lines: list[EventDict]
) -> None:
    status = status_after(queue, fail_in_turn(error("Because.")), has_ended)
    assert status.error
    assert (status.state, status.attempts) == (JobState.FAILED, 1)
    assert (status.error.code, status.error.detail) == (error().code, "Because.")
    assert failures(log_lines) == [("warning", "job_failed")]


def test_unexpected_error_is_retried(queue: InMemoryQueue, log_lines: list[EventDict]) -> None:
    error = RuntimeError("out of luck")
    status = status_after(queue, fail_in_turn(error), has_ended)
    assert (status.state, status.attempts) == (JobState.DONE, 2)
    [line] = [each for each in log_lines if each["log_level"] == "error"]
    assert (line["event"], line["attempt"], line["exc_info"]) == ("attempt_failed", 1, error)


def test_error_of_every_attempt_fails_with_its_reason(
    queue: InMemoryQueue, log_lines: list[EventDict]
) -> None:
    status = status_after(queue, fail_in_turn(*[OSError("No space left on device")] * 3), has_ended)
    assert status.error
    assert (status.state, status.attempts, status.error.code) == ("failed", 3, "separation_failed")
    assert status.error.detail == (
        "The separation failed (OSError). The log of the worker has the cause under this job id."
    )
    assert log_lines[-1]["reason"] == "OSError: No space left on device"
    assert queue.depth().dead == 1
    events = ["attempt_failed", "attempt_failed", "job_failed"]
    assert failures(log_lines) == [("error", event) for event in events]


def test_entry_that_raises_in_the_claim_is_dead_and_the_next_is_done(
    queue: InMemoryQueue, monkeypatch: pytest.MonkeyPatch, log_lines: list[EventDict]
) -> None:
    def decode(payload: bytes) -> Job:
        if payload == b"poison":
            raise RuntimeError("unforeseen")
        return Job(job_id=ID)

    monkeypatch.setattr(Job, "decode", decode)
    queue.push(b"poison")
    status = status_after(queue, fail_in_turn(), has_ended)
    assert (status.state, queue.depth().dead) == (JobState.DONE, 1)
    assert queue.dead_letters[0]["reason"] == "RuntimeError: unforeseen"
    [line] = [each for each in log_lines if each["event"] == "entry_dead_lettered"]
    assert isinstance(line["exc_info"], RuntimeError)


def test_unavailable_store_costs_no_attempt(queue: InMemoryQueue, log_lines: list[EventDict]) -> None:
    status = status_after(queue, fail_in_turn(*[StoreUnavailable("Turned off.")] * 3), has_ended)
    assert (status.state, status.attempts) == (JobState.DONE, 1)
    assert failures(log_lines) == [("warning", "job_released")]
    repeated = [line for line in log_lines if line["event"] == "job_released"]
    assert [line["log_level"] for line in repeated] == ["warning", "debug", "debug"]


def test_each_reason_of_a_release_is_one_warning(queue: InMemoryQueue, log_lines: list[EventDict]) -> None:
    outage, newer = StoreUnavailable("Turned off."), UnknownOption("Unknown.")
    status_after(queue, fail_in_turn(outage, outage, newer, newer, None), has_ended)
    assert [line["reason"] for line in log_lines if line["log_level"] == "warning"] == [
        "Turned off.",
        "Unknown.",
    ]


def test_releases_are_warnings_again_for_a_job_that_was_done_between(
    queue: InMemoryQueue, log_lines: list[EventDict]
) -> None:
    outage = StoreUnavailable("Turned off.")
    handle = fail_in_turn(outage, None, outage, None)
    for _ in range(2):
        status_after(queue, handle, has_ended)
    assert failures(log_lines) == [("warning", "job_released")] * 2


def test_job_waits_without_an_attempt_while_its_model_is_downloaded(
    queue: InMemoryQueue, log_lines: list[EventDict]
) -> None:
    pending = ModelPending("Model htdemucs is being downloaded.")
    status = status_after(queue, fail_in_turn(*[pending] * 1000), lambda found: found.error is not None)
    assert status.error
    assert (status.state, status.attempts, status.error.code) == (JobState.QUEUED, 0, "model_pending")
    done = status_of_queued(queue, fail_in_turn(pending, None), has_ended, worker="other")
    assert (done.state, done.attempts, done.error) == (JobState.DONE, 1, None)
    assert failures(log_lines) == []


def test_status_names_the_reason_while_the_store_is_unavailable(queue: InMemoryQueue) -> None:
    handle = fail_in_turn(*[StoreUnavailable("Turned off.")] * 100)
    status = status_after(queue, handle, lambda found: found.state is JobState.QUEUED and bool(found.error))
    assert status.error
    assert (status.error.code, status.error.detail) == ("store_unavailable", "Turned off.")


def test_exhausted_job_makes_its_callbacks_due(queue: InMemoryQueue) -> None:
    queue.enqueue(Job(job_id=ID, callback=Callback("http://there/")))
    runner = make_runner(queue, fail_in_turn())
    for _ in range(QUEUE_POLICY.max_attempts):
        payload = runner.consumer.take(timeout_s=0)
        assert payload
        claim = runner.consumer.claim(Job(job_id=ID), payload=payload)
        queue.requeue(queue.jobs[ID], claim.payload)
        queue.processing["one"].clear()
    payload = runner.consumer.take(timeout_s=0)
    assert payload
    runner.work(payload)
    assert runner.job_ended.is_set()
    assert [each.state for each in queue.outbox.deliveries(ID)] == ["pending"]


# Options of a newer version


def test_job_with_an_unknown_option_is_held_for_a_newer_worker(queue: InMemoryQueue) -> None:
    held = status_after(
        queue, fail_in_turn(*[UnknownOption("Unknown.")] * 1000), lambda found: found.error is not None
    )
    assert held.error
    assert (held.state, held.attempts, held.error.code) == (JobState.QUEUED, 0, "unknown_option")
    done = status_of_queued(queue, fail_in_turn(), has_ended, worker="newer")
    assert (done.state, done.attempts, done.error) == (JobState.DONE, 1, None)


def test_held_job_fails_after_the_hold_time() -> None:
    clock = Clock()
    queue = InMemoryQueue(policy=QUEUE_POLICY, clock=clock)
    handle = fail_in_turn(*[UnknownOption("Unknown.")] * 1000)
    status_after(queue, handle, lambda found: found.error is not None)
    clock.advance(POLICY.hold_s + 1)
    status = status_of_queued(queue, handle, has_ended)
    assert status.error
    assert (status.state, status.error.code) == (JobState.FAILED, "unknown_option")


@pytest.mark.parametrize("error", [UnknownModel, UnknownFormat, FormatUnavailable])
def test_unknown_value_in_a_variant_is_held(error: type[MsaasError], queue: InMemoryQueue) -> None:
    """The id of a variant comes from an API that knows the value."""
    queue.enqueue(Job(job_id=VARIANT_ID))
    handle = fail_in_turn(*[error("Unknown.")] * 1000)
    status = status_of_queued(queue, handle, lambda found: found.error is not None, job_id=VARIANT_ID)
    assert (status.state, status.attempts) == (JobState.QUEUED, 0)


# Leases


def lose_lease(queue: InMemoryQueue, attempt: Attempt) -> None:
    """Let the queue give the job to another worker."""
    assert isinstance(attempt, LeasedAttempt)
    queue.consumer("one").release(attempt.claim)


def test_cause_of_a_failure_is_logged_though_the_lease_is_lost(
    queue: InMemoryQueue, log_lines: list[EventDict]
) -> None:
    error = RuntimeError("out of luck")

    def fail(job: Job, attempt: Attempt) -> Result:
        lose_lease(queue, attempt)
        raise error

    run_once(queue, fail)
    assert failures(log_lines) == [("error", "attempt_failed"), ("warning", "lease_lost")]
    [line] = [each for each in log_lines if each["log_level"] == "error"]
    assert (line["exc_info"], line["reason"]) == (error, "RuntimeError: out of luck")


def test_cause_of_a_failure_is_logged_though_the_queue_is_unavailable(
    queue: InMemoryQueue, log_lines: list[EventDict]
) -> None:
    error = RuntimeError("out of luck")

    def fail(job: Job, attempt: Attempt) -> Result:
        queue.away = True
        runner.stopping.set()
        raise error

    queue.enqueue(Job(job_id=ID))
    runner = make_runner(queue, fail)
    payload = runner.consumer.take(timeout_s=0)
    assert payload
    with pytest.raises(QueueUnavailable):
        runner.work(payload)
    [line] = [each for each in log_lines if each["log_level"] == "error"]
    assert (line["event"], line["exc_info"]) == ("attempt_failed", error)


def test_job_that_the_shutdown_releases_is_never_counted_as_lost(
    queue: InMemoryQueue, log_lines: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runner learns the loss of its lease before the release returns."""
    is_released, go_on, noticed = threading.Event(), threading.Event(), threading.Event()
    lost = outcome_count("lost")

    def handle(job: Job, attempt: Attempt) -> Result:
        wait_until(is_released.is_set)
        with pytest.raises(LeaseLost):
            attempt.verify()
        noticed.set()
        raise LeaseLost(job.job_id)

    queue.enqueue(Job(job_id=ID))
    with running_worker(queue, handle) as worker:
        wait_until(lambda: worker.runner.attempt)
        consumer = worker.runner.consumer
        release = consumer.release

        def release_slowly(*arguments: Any, **fields: Any) -> None:
            release(*arguments, **fields)
            is_released.set()
            assert go_on.wait(20)

        monkeypatch.setattr(consumer, "release", release_slowly)
        stop = threading.Thread(target=worker.stop)
        stop.start()
        assert noticed.wait(20)
        go_on.set()
        stop.join(20)
        worker.thread.join(20)
    assert failures(log_lines) == []
    assert outcome_count("lost") == lost


def test_job_whose_lease_is_lost_is_left_alone(queue: InMemoryQueue, log_lines: list[EventDict]) -> None:
    taken = threading.Event()

    def lose(job: Job, attempt: Attempt) -> Result:
        assert isinstance(attempt, LeasedAttempt)
        queue.consumer("one").release(attempt.claim)
        taken.set()
        attempt.verify()
        raise AssertionError("the lease was confirmed")

    queue.enqueue(Job(job_id=ID))
    with running_worker(queue, lose) as worker:
        assert taken.wait(5)
        worker.runner.stopping.set()
        worker.thread.join(5)
    assert queue.waiting() == [ID]
    # The worker may have taken the job again before it was told to stop.
    assert set(failures(log_lines)) == {("warning", "lease_lost")}


# Stop


def test_job_claimed_in_the_moment_of_the_signal_is_released(
    queue: InMemoryQueue, log_lines: list[EventDict]
) -> None:
    queue.enqueue(Job(job_id=ID))
    runner = make_runner(queue, fail_in_turn())
    payload = runner.consumer.take(timeout_s=0)
    assert payload
    runner.stopping.set()
    runner.work(payload)
    status = queue.status(ID)
    assert status
    assert (status.state, status.attempts) == (JobState.QUEUED, 0)
    assert failures(log_lines) == []


def test_worker_without_its_scratch_ends_and_releases_its_job(queue: InMemoryQueue, tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    for folder in tmp_path.iterdir():
        shutil.rmtree(folder)

    def handle(job: Job, attempt: Attempt) -> Result:
        with scratch.folder():
            return DONE

    queue.enqueue(Job(job_id=ID))
    runner = make_runner(queue, handle)
    payload = runner.consumer.take(timeout_s=0)
    assert payload
    with pytest.raises(ScratchGone):
        runner.work(payload)
    assert runner.attempt
    runner.attempt.release()
    status = queue.status(ID)
    assert status
    assert (status.state, status.attempts) == (JobState.QUEUED, 0)


# Queue


def waits() -> tuple[float, float]:
    """Return the number and the sum of the observed waits."""
    found = {
        sample.name: sample.value
        for metric in QUEUE_WAIT.collect()
        for sample in metric.samples
        if not sample.labels
    }
    return found["msaas_queue_wait_seconds_count"], found["msaas_queue_wait_seconds_sum"]


def test_only_the_first_claim_counts_as_wait_by_the_clock_of_the_queue() -> None:
    """A job that is given back has no attempt, but it was claimed."""
    clock = Clock()
    queue = InMemoryQueue(policy=QUEUE_POLICY, clock=clock)
    count, total = waits()
    queue.enqueue(Job(job_id=ID))
    clock.advance(7200)
    handle = fail_in_turn(StoreUnavailable("Turned off."), StoreUnavailable("Turned off."), None)
    assert status_of_queued(queue, handle, has_ended).attempts == 1
    assert waits() == (count + 1, pytest.approx(total + 7200, abs=5))


def test_unavailable_queue_is_one_warning_and_work_goes_on(
    queue: InMemoryQueue, log_lines: list[EventDict]
) -> None:
    queue.away = True
    with running_worker(queue, fail_in_turn()):
        wait_until(lambda: failures(log_lines))
        queue.away = False
        queue.enqueue(Job(job_id=ID))
        wait_until(lambda: (found := queue.status(ID)) and found.state is JobState.DONE)
    assert failures(log_lines) == [("warning", "queue_unavailable")]
    assert [line["event"] for line in log_lines].count("queue_available") == 1


def test_result_is_reported_once_the_queue_is_back(queue: InMemoryQueue) -> None:
    def finish_without_queue(job: Job, attempt: Attempt) -> Result:
        queue.away = True
        return DONE

    queue.enqueue(Job(job_id=ID))
    with running_worker(queue, finish_without_queue) as worker:
        wait_until(lambda: queue.away)
        queue.away = False
        wait_until(worker.runner.job_ended.is_set)
        status = queue.status(ID)
    assert status
    assert (status.state, status.attempts) == (JobState.DONE, 1)


def test_steps_come_in_order(queue: InMemoryQueue) -> None:
    steps: list[tuple[Step, str]] = []

    def note(step: Step, *, job_id: str) -> None:
        steps.append((step, job_id))

    def handle(job: Job, attempt: Attempt) -> Result:
        attempt.reach(Step.SONG_FETCHED)
        return DONE

    queue.enqueue(Job(job_id=ID))
    with running_worker(queue, handle, on_step=note) as worker:
        wait_until(worker.runner.job_ended.is_set)
    assert steps == [(Step.CLAIMED, ID), (Step.SONG_FETCHED, ID), (Step.FINISHED, ID)]
