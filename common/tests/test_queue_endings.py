"""Endings of a job: done, failed, dead, or released without an attempt."""

from common.tests.backends import POLICY, QueueBench
from common.tests.steps import AT_ONCE_S, OOPS, OTHER, RESULT, SONG, claim_next, state
from msaas.jobs import Job, JobState
from msaas.queue.protocol import JobQueue


def test_finish_is_idempotent(queue: JobQueue) -> None:
    queue.enqueue(Job(job_id=SONG))
    worker = queue.consumer("w1")
    claim = claim_next(worker)
    worker.finish(claim, RESULT)
    worker.finish(claim, RESULT)
    assert queue.depth().in_flight == 0


def test_fail_is_idempotent(queue: JobQueue) -> None:
    queue.enqueue(Job(job_id=SONG))
    worker = queue.consumer("w1")
    claim = claim_next(worker)
    worker.fail(claim, OOPS)
    worker.fail(claim, OOPS)
    worker.retry(claim, OOPS)
    assert state(queue) is JobState.FAILED


def test_failed_job_shows_its_error(queue: JobQueue) -> None:
    queue.enqueue(Job(job_id=SONG))
    worker = queue.consumer("w1")
    worker.fail(claim_next(worker), OOPS)
    status = queue.status(SONG)
    assert status is not None
    assert (status.state, status.error) == (JobState.FAILED, OOPS)
    assert queue.depth().dead == 0


def test_retried_job_is_dead_after_its_last_attempt(bench: QueueBench) -> None:
    queue, worker = bench.queue, bench.queue.consumer("w1")
    queue.enqueue(Job(job_id=SONG))
    for attempt in range(1, POLICY.max_attempts + 1):
        assert state(queue) is JobState.QUEUED
        claim = claim_next(worker)
        assert claim.attempt == attempt
        worker.retry(claim, OOPS)
    status = queue.status(SONG)
    assert status is not None
    assert (status.state, status.attempts, status.error) == (JobState.FAILED, POLICY.max_attempts, OOPS)
    assert SONG.encode() in bench.dead()[0]


def test_released_job_costs_no_attempt(queue: JobQueue) -> None:
    queue.enqueue(Job(job_id=SONG))
    queue.enqueue(Job(job_id=OTHER))
    worker = queue.consumer("w1")
    worker.release(claim_next(worker))
    assert queue.waiting() == [SONG, OTHER]
    again = claim_next(worker)
    assert (again.attempt, again.releases) == (1, 1)


def test_delayed_job_waits_until_it_is_due(bench: QueueBench) -> None:
    queue, worker = bench.queue, bench.queue.consumer("w1")
    queue.enqueue(Job(job_id=SONG))
    worker.release(claim_next(worker), delay_s=30)
    assert queue.reap() == []
    assert queue.depth().delayed == 1
    assert queue.enqueue(Job(job_id=SONG)) is JobState.QUEUED
    assert queue.waiting() == []
    bench.pass_time(31)
    queue.reap()
    again = claim_next(worker)
    assert (again.attempt, again.releases) == (1, 0)


def test_malformed_entry_is_dead_lettered_once(bench: QueueBench) -> None:
    bench.push(b"{not json")
    worker = bench.queue.consumer("w1")
    payload = worker.take(timeout_s=AT_ONCE_S)
    assert payload == b"{not json"
    worker.dead_letter(payload, reason="It is not JSON.")
    worker.dead_letter(payload, reason="It is not JSON.")
    assert len(bench.dead()) == 1
    assert b"{not json" in bench.dead()[0]
    assert bench.queue.depth().in_flight == 0


def test_empty_entry_is_dead_lettered(bench: QueueBench) -> None:
    bench.push(b"")
    bench.queue.enqueue(Job(job_id=SONG))
    worker = bench.queue.consumer("w1")
    for _ in range(2):
        assert worker.take(timeout_s=AT_ONCE_S) == b""
    worker.dead_letter(b"", reason="It is empty.")
    assert claim_next(worker).job.job_id == SONG


def test_oldest_dead_letters_are_dropped(bench: QueueBench) -> None:
    worker = bench.queue.consumer("w1")
    for number in range(POLICY.max_dead + 3):
        bench.push(b"{%d" % number)
        worker.dead_letter(worker.take(timeout_s=AT_ONCE_S) or b"", reason="It is not JSON.")
    assert len(bench.dead()) == POLICY.max_dead
    assert b"{7" in bench.dead()[0]
