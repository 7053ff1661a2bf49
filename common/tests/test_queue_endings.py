"""A job ends once: done, failed, dead, or given back as if never taken."""

from common.tests.backends import POLICY, QueueBench
from common.tests.steps import AT_ONCE_S, OOPS, OTHER, RESULT, SONG, claimed, state
from msaas.jobs import Job, JobState
from msaas.queue import JobQueue


def test_finishing_twice_is_no_error(queue: JobQueue) -> None:
    queue.enqueue(Job(SONG))
    worker = queue.consumer("w1")
    claim = claimed(worker)
    worker.finish(claim, RESULT)
    worker.finish(claim, RESULT)
    assert queue.depth().in_flight == 0


def test_failing_twice_is_no_error(queue: JobQueue) -> None:
    queue.enqueue(Job(SONG))
    worker = queue.consumer("w1")
    claim = claimed(worker)
    worker.fail(claim, OOPS)
    worker.fail(claim, OOPS)
    worker.retry(claim, OOPS)
    assert state(queue) is JobState.FAILED


def test_a_job_that_fails_for_good_says_why(queue: JobQueue) -> None:
    queue.enqueue(Job(SONG))
    worker = queue.consumer("w1")
    worker.fail(claimed(worker), OOPS)
    status = queue.status(SONG)
    assert status is not None
    assert (status.state, status.error) == (JobState.FAILED, OOPS)
    assert queue.depth().dead == 0


def test_a_retried_job_dies_after_its_last_attempt(bench: QueueBench) -> None:
    queue, worker = bench.queue, bench.queue.consumer("w1")
    queue.enqueue(Job(SONG))
    for attempt in range(1, POLICY.max_attempts + 1):
        assert state(queue) is JobState.QUEUED
        claim = claimed(worker)
        assert claim.attempt == attempt
        worker.retry(claim, OOPS)
    status = queue.status(SONG)
    assert status is not None
    assert (status.state, status.attempts, status.error) == (JobState.FAILED, POLICY.max_attempts, OOPS)
    assert SONG.encode() in bench.dead()[0]


def test_a_job_given_back_was_never_taken(queue: JobQueue) -> None:
    queue.enqueue(Job(SONG))
    queue.enqueue(Job(OTHER))
    worker = queue.consumer("w1")
    worker.give_back(claimed(worker))
    assert queue.waiting() == [SONG, OTHER]
    again = claimed(worker)
    assert (again.attempt, again.give_backs) == (1, 1)


def test_a_delayed_job_waits_until_its_time_has_come(bench: QueueBench) -> None:
    queue, worker = bench.queue, bench.queue.consumer("w1")
    queue.enqueue(Job(SONG))
    worker.give_back(claimed(worker), delay_s=30)
    assert queue.reap() == []
    assert queue.depth().delayed == 1
    assert queue.enqueue(Job(SONG)) is JobState.QUEUED
    assert queue.waiting() == []
    bench.pass_time(31)
    queue.reap()
    again = claimed(worker)
    assert (again.attempt, again.give_backs) == (1, 0)


def test_an_entry_that_is_no_job_lies_with_the_dead_once(bench: QueueBench) -> None:
    bench.push(b"{not json")
    worker = bench.queue.consumer("w1")
    payload = worker.take(timeout_s=AT_ONCE_S)
    assert payload == b"{not json"
    worker.bury(payload, reason="It is not JSON.")
    worker.bury(payload, reason="It is not JSON.")
    assert len(bench.dead()) == 1
    assert b"{not json" in bench.dead()[0]
    assert bench.queue.depth().in_flight == 0


def test_an_empty_entry_is_an_entry(bench: QueueBench) -> None:
    bench.push(b"")
    bench.queue.enqueue(Job(SONG))
    worker = bench.queue.consumer("w1")
    for _ in range(2):
        assert worker.take(timeout_s=AT_ONCE_S) == b""
    worker.bury(b"", reason="It is empty.")
    assert claimed(worker).job.songhash == SONG


def test_the_oldest_dead_letters_are_dropped(bench: QueueBench) -> None:
    worker = bench.queue.consumer("w1")
    for number in range(POLICY.max_dead + 3):
        bench.push(b"{%d" % number)
        worker.bury(worker.take(timeout_s=AT_ONCE_S) or b"", reason="It is not JSON.")
    assert len(bench.dead()) == POLICY.max_dead
    assert b"{7" in bench.dead()[0]
