"""Background tasks: exceptions are logged and counted, and the task runs again."""

import threading
from collections.abc import Iterator

import pytest
from structlog.contextvars import get_contextvars
from structlog.testing import capture_logs

from msaas.background import Tasks
from msaas.errors import QueueUnavailable
from msaas.logs import clear_log, log_context
from tests.servers import wait_until


@pytest.fixture
def stopping() -> Iterator[threading.Event]:
    stopping = threading.Event()
    yield stopping
    stopping.set()


class Scripted:
    """A task that raises the exceptions of its script, then succeeds."""

    def __init__(self, *script: Exception) -> None:
        self.script = list(script)
        self.runs = 0

    def __call__(self) -> None:
        self.runs += 1
        if self.script:
            raise self.script.pop(0)


def test_task_runs_again_after_any_exception(stopping: threading.Event) -> None:
    task = Scripted(ValueError("oops"), QueueUnavailable("gone"), KeyError("more"))
    with capture_logs() as lines:
        Tasks(stopping).every(0.01, task, name="reaper")
        wait_until(lambda: task.runs >= 5)
    failures = [line for line in lines if line["event"] == "task_failed"]
    assert [line["task"] for line in failures] == ["reaper", "reaper"]
    assert all(line["log_level"] == "error" and line["exc_info"] for line in failures)


def test_outage_is_one_warning_without_traceback(stopping: threading.Event) -> None:
    task = Scripted(*(QueueUnavailable("gone") for _ in range(4)))
    with capture_logs() as lines:
        Tasks(stopping).every(0.01, task, name="reaper")
        wait_until(lambda: task.runs >= 6)
    assert [(line["event"], line["log_level"]) for line in lines] == [("task_delayed", "warning")]


def test_task_that_keeps_failing_is_unhealthy_until_it_succeeds(stopping: threading.Event) -> None:
    task, tasks = Scripted(*(ValueError("oops") for _ in range(10))), Tasks(stopping)
    with capture_logs():
        tasks.every(0.02, task, name="reaper")
        wait_until(lambda: not tasks.are_healthy())
        wait_until(tasks.are_healthy)
    assert task.runs > 10


def test_outages_leave_a_task_healthy(stopping: threading.Event) -> None:
    task, tasks = Scripted(*(QueueUnavailable("gone") for _ in range(10))), Tasks(stopping)
    with capture_logs():
        tasks.every(0.01, task, name="reaper")
        wait_until(lambda: task.runs > 8)
        assert tasks.are_healthy()


def test_wake_runs_a_task_at_once(stopping: threading.Event) -> None:
    task, wake = Scripted(), threading.Event()
    Tasks(stopping).every(3600, task, name="webhooks", wake=wake)
    wait_until(lambda: task.runs == 1)
    wake.set()
    wait_until(lambda: task.runs == 2)


def test_tasks_end_when_stopping_is_set(stopping: threading.Event) -> None:
    thread = Tasks(stopping).every(3600, Scripted(), name="reaper")
    stopping.set()
    thread.join(timeout=5)
    assert not thread.is_alive()


def test_guarded_heartbeat_is_silent_while_a_task_is_broken(stopping: threading.Event) -> None:
    task, tasks = Scripted(*(ValueError("oops") for _ in range(5))), Tasks(stopping)
    beats: list[dict[str, object]] = []
    beat, wake = tasks.guard(lambda **facts: beats.append(facts)), threading.Event()
    with capture_logs():
        tasks.every(3600, task, name="reaper", wake=wake)
        for runs in range(1, 6):
            wait_until(lambda runs=runs: task.runs == runs)
            if runs < 5:
                beat(runs=runs)
                wake.set()
        wait_until(lambda: not tasks.are_healthy())
        beat(runs=5)
        wake.set()
        wait_until(tasks.are_healthy)
        beat(runs=6)
    assert beats == [{"runs": runs} for runs in (1, 2, 3, 4, 6)]


def test_task_has_no_fields_of_the_job_that_started_it(stopping: threading.Event) -> None:
    fields: list[dict[str, object]] = []
    clear_log()
    with log_context(job_id="aaaa"):
        Tasks(stopping).every(3600, lambda: fields.append(get_contextvars()), name="models")
        wait_until(lambda: fields)
        assert get_contextvars() == {"job_id": "aaaa"}
    assert fields == [{}]
