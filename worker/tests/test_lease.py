"""The lease of a running attempt: renewal, progress, loss and the watchdog."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from worker.tests.running_attempt import JOB_ID, RunningAttempt

from msaas.errors import LeaseLost
from msaas.queue.protocol import QueuePolicy
from msaas_worker.job.policy import WorkerPolicy
from tests.servers import wait_until

QUEUE_POLICY = QueuePolicy(lease_s=0.6)
POLICY = WorkerPolicy(publish_s=0.02, queue_retry_s=0.01, stall_renewals=3)


class Stalls:
    """Notes the facts of stalled jobs, and raises `error`."""

    def __init__(self) -> None:
        self.facts: list[dict[str, Any]] = []
        self.error: Exception | None = None

    def __call__(self, **facts: object) -> None:
        self.facts.append(facts)
        if self.error:
            raise self.error


@pytest.fixture
def stalls() -> Stalls:
    return Stalls()


@pytest.fixture
def running(tmp_path: Path, stalls: Stalls) -> RunningAttempt:
    return RunningAttempt(tmp_path, queue_policy=QUEUE_POLICY, policy=POLICY, on_stall=stalls)


def lease_until(running: RunningAttempt) -> float:
    return running.queue.jobs[JOB_ID].lease_until


def wait_for_renewals(running: RunningAttempt, number: int) -> None:
    for _ in range(number):
        before = lease_until(running)
        wait_until(lambda before=before: lease_until(running) > before)


def test_lease_is_renewed_past_its_first_end_while_the_job_makes_progress(
    running: RunningAttempt, stalls: Stalls
) -> None:
    first_end = lease_until(running)
    with running.attempt as attempt:
        while time.time() <= first_end:
            attempt.report_progress(0.5)
            wait_for_renewals(running, 1)
        assert running.queue.reap() == []
    assert stalls.facts == []


def test_progress_is_published_between_renewals(running: RunningAttempt) -> None:
    with running.attempt as attempt:
        attempt.set_model(model="htdemucs", requested="htdemucs", device="cpu")
        attempt.report_progress(0.5)
        wait_until(
            lambda: (
                (found := running.queue.status(JOB_ID)) and (found.progress, found.model) == (0.5, "htdemucs")
            )
        )


def test_job_without_progress_stalls(running: RunningAttempt, stalls: Stalls) -> None:
    with running.attempt as attempt:
        attempt.set_model(model="htdemucs", requested="htdemucs", device="cpu")
        wait_until(lambda: stalls.facts)
    assert stalls.facts[0] == {"job_id": JOB_ID, "model": "htdemucs", "device": "cpu"}


def test_work_with_its_own_time_limit_does_not_stall(running: RunningAttempt, stalls: Stalls) -> None:
    with running.attempt as attempt, attempt.pause_watchdog():
        wait_for_renewals(running, 2 * POLICY.stall_renewals)
    assert stalls.facts == []


def test_job_without_a_lease_stalls_too(running: RunningAttempt, stalls: Stalls) -> None:
    with running.attempt:
        running.consumer.release(running.claim)
        wait_until(lambda: stalls.facts)


def test_first_step_after_a_release_ends_the_work(running: RunningAttempt) -> None:
    with running.attempt as attempt:
        attempt.release()
        assert attempt.is_released
        with pytest.raises(LeaseLost):
            attempt.report_progress(0.5)


def test_lease_that_another_worker_has_cannot_be_verified(running: RunningAttempt) -> None:
    with running.attempt as attempt:
        running.consumer.release(running.claim)
        with pytest.raises(LeaseLost):
            attempt.verify()
        assert not attempt.is_released


def test_verification_waits_for_the_queue(running: RunningAttempt) -> None:
    verified = threading.Event()

    def verify() -> None:
        running.attempt.verify()
        verified.set()

    with running.attempt:
        running.queue.away = True
        threading.Thread(target=verify, daemon=True).start()
        assert not verified.wait(0.2)
        running.queue.away = False
        assert verified.wait(5)


def test_outage_of_the_queue_is_one_warning(running: RunningAttempt, monkeypatch: pytest.MonkeyPatch) -> None:
    renew, tries = running.consumer.renew, []

    def count(*arguments: Any, **fields: Any) -> None:
        tries.append(1)
        renew(*arguments, **fields)

    monkeypatch.setattr(running.consumer, "renew", count)
    with capture_logs() as lines, running.attempt as attempt, attempt.pause_watchdog():
        running.queue.away = True
        begun = len(tries)
        wait_until(lambda: len(tries) > begun + 3)
    assert [(line["event"], line["log_level"]) for line in lines] == [("lease_renewal_failed", "warning")]


def test_renewal_survives_an_error_of_the_watchdog(running: RunningAttempt, stalls: Stalls) -> None:
    stalls.error = ZeroDivisionError()
    with capture_logs() as lines, running.attempt:
        wait_until(lambda: stalls.facts)
        wait_for_renewals(running, 2)
    assert {(line["event"], line["log_level"]) for line in lines} == {("watchdog_failed", "error")}


def test_renewal_survives_an_error_of_the_heartbeat(tmp_path: Path) -> None:
    def fail(**_: object) -> None:
        raise ZeroDivisionError

    running = RunningAttempt(tmp_path, queue_policy=QUEUE_POLICY, policy=POLICY, heartbeat=fail)
    with capture_logs() as lines, running.attempt as attempt, attempt.pause_watchdog():
        wait_until(lambda: lines)
        wait_for_renewals(running, 2)
    assert {(line["event"], line["log_level"]) for line in lines} == {("watchdog_failed", "error")}


def test_renewal_survives_any_exception(running: RunningAttempt, monkeypatch: pytest.MonkeyPatch) -> None:
    renew, broken = running.consumer.renew, threading.Event()

    def break_once(*arguments: Any, **fields: Any) -> None:
        if not broken.is_set():
            broken.set()
            raise ZeroDivisionError
        renew(*arguments, **fields)

    monkeypatch.setattr(running.consumer, "renew", break_once)
    with capture_logs() as lines, running.attempt as attempt:
        wait_until(broken.is_set)
        attempt.report_progress(0.25)
        wait_until(lambda: (found := running.queue.status(JOB_ID)) and found.progress == 0.25)
    assert [(line["event"], line["log_level"]) for line in lines] == [("lease_renewal_failed", "error")]


def test_estimated_time_follows_from_the_progress(running: RunningAttempt) -> None:
    with running.attempt as attempt:
        assert attempt.eta_s() == float("inf")
        attempt.report_progress(0.5)
        wait_until(lambda: attempt.eta_s() >= 0.2)
        before, half = time.monotonic(), attempt.eta_s()
        attempt.report_progress(0.8)
        assert half / 4 <= attempt.eta_s() <= (half + time.monotonic() - before) / 4
