"""Leases: a job belongs to the holder of its lease, and goes to another worker when it expires."""

import json

import pytest

from common.tests.backends import POLICY, QueueBench, redis_bench
from common.tests.steps import AT_ONCE_S, OOPS, RESULT, SONG, claim_next, state
from msaas.errors import AttemptsExhausted, ClaimRefused, LeaseLost
from msaas.jobs import Job, JobState
from msaas.queue.protocol import JobQueue, encode_dead_letter
from tests.servers import RedisServer


def test_job_of_an_expired_lease_goes_to_another_worker(bench: QueueBench) -> None:
    queue = bench.queue
    queue.enqueue(Job(job_id=SONG))
    silent = claim_next(queue.consumer("silent"))
    assert queue.reap() == []
    bench.pass_time(POLICY.lease_s + 1)
    assert queue.reap() == [SONG]
    assert silent.attempt + 1 == claim_next(queue.consumer("next")).attempt


def test_renewed_lease_keeps_its_job(bench: QueueBench) -> None:
    queue = bench.queue
    queue.enqueue(Job(job_id=SONG))
    worker = queue.consumer("w1")
    claim = claim_next(worker)
    for _ in range(3):
        bench.pass_time(POLICY.lease_s * 0.7)
        worker.renew(claim, progress=0.1)
        assert queue.reap() == []
    worker.finish(claim, RESULT)


@pytest.mark.parametrize("step", ["renew", "finish", "fail", "retry", "release"])
def test_stale_token_changes_nothing(bench: QueueBench, step: str) -> None:
    queue = bench.queue
    queue.enqueue(Job(job_id=SONG))
    late = queue.consumer("late")
    stale = claim_next(late)
    bench.pass_time(POLICY.lease_s + 1)
    queue.reap()
    current = claim_next(queue.consumer("current"))
    before = queue.status(SONG), queue.depth()
    call = {
        "renew": lambda: late.renew(stale, progress=0.9),
        "finish": lambda: late.finish(stale, RESULT),
        "fail": lambda: late.fail(stale, OOPS),
        "retry": lambda: late.retry(stale, OOPS),
        "release": lambda: late.release(stale),
    }[step]
    with pytest.raises(LeaseLost):
        call()
    assert (queue.status(SONG), queue.depth()) == before
    queue.consumer("current").finish(current, RESULT)


def test_job_is_dead_after_its_last_attempt_expires(bench: QueueBench) -> None:
    queue = bench.queue
    queue.enqueue(Job(job_id=SONG))
    for attempt in range(POLICY.max_attempts):
        claim_next(queue.consumer(f"victim-{attempt}"))
        bench.pass_time(POLICY.lease_s + 1)
        queue.reap()
    status = queue.status(SONG)
    assert status is not None
    assert status.error is not None
    assert (status.state, status.error.code) == (JobState.FAILED, "attempts_exhausted")
    assert queue.depth() == type(queue.depth())(waiting=0, in_flight=0, delayed=0, dead=1, workers=0)


def test_dead_letter_of_the_reaper_has_the_common_form(redis_server: RedisServer) -> None:
    bench, message = redis_bench(redis_server), f'{{"songhash": "{SONG}", "why": "{"é" * 10_000}"}}'.encode()
    bench.push(message)
    for attempt in range(POLICY.max_attempts):
        claim_next(bench.queue.consumer(f"victim-{attempt}"))
        bench.pass_time(POLICY.lease_s + 1)
        bench.queue.reap()
    (reaped,) = map(json.loads, bench.dead())
    other = json.loads(encode_dead_letter(message, "attempts_exhausted"))
    assert reaped.keys() == other.keys()
    assert (reaped["bytes"], reaped["reason"]) == (other["bytes"], other["reason"])
    assert 0 <= len(other["payload"]) - len(reaped["payload"]) < 10
    assert message.decode().startswith(reaped["payload"])
    assert abs(reaped["at"] - other["at"]) < 5


def test_enqueue_of_a_running_job_resets_no_attempts(bench: QueueBench) -> None:
    queue = bench.queue
    for attempt in range(POLICY.max_attempts):
        queue.enqueue(Job(job_id=SONG))
        assert claim_next(queue.consumer(f"victim-{attempt}")).attempt == attempt + 1
        bench.pass_time(POLICY.lease_s + 1)
        assert queue.enqueue(Job(job_id=SONG)) is JobState.RUNNING
        queue.reap()
    assert state(queue) is JobState.FAILED


def test_dead_job_can_be_enqueued_again(bench: QueueBench) -> None:
    queue, worker = bench.queue, bench.queue.consumer("w1")
    queue.enqueue(Job(job_id=SONG))
    worker.fail(claim_next(worker), OOPS)
    queue.enqueue(Job(job_id=SONG))
    assert claim_next(worker).attempt == 1


def test_second_of_two_equal_entries_is_refused_while_the_first_runs(bench: QueueBench) -> None:
    bench.push(SONG.encode())
    bench.push(SONG.encode())
    first, second = bench.queue.consumer("w1"), bench.queue.consumer("w2")
    claim = claim_next(first)
    with pytest.raises(ClaimRefused, match="held"):
        claim_next(second)
    assert bench.queue.depth().in_flight == 1
    first.finish(claim, RESULT)
    assert bench.queue.depth().in_flight == 0


def test_entry_of_another_worker_cannot_be_claimed(queue: JobQueue) -> None:
    queue.enqueue(Job(job_id=SONG))
    payload = queue.consumer("w1").take(timeout_s=AT_ONCE_S)
    assert payload is not None
    with pytest.raises(ClaimRefused, match="gone"):
        queue.consumer("w2").claim(Job(job_id=SONG), payload=payload)


def test_claim_with_a_lost_reply_costs_no_attempt(bench: QueueBench) -> None:
    bench.queue.enqueue(Job(job_id=SONG))
    claim_next(bench.queue.consumer("w1"))
    deaf = bench.queue.consumer("w1")  # The same worker, without the reply to its claim.
    assert claim_next(deaf).attempt == 1


def test_dropped_job_counts_an_attempt_each_time(queue: JobQueue) -> None:
    queue.enqueue(Job(job_id=SONG))
    worker = queue.consumer("w1")
    for attempt in range(1, POLICY.max_attempts + 1):
        assert claim_next(worker).attempt == attempt
    with pytest.raises(AttemptsExhausted):
        claim_next(worker)
    assert state(queue) is JobState.FAILED
    assert queue.depth() == type(queue.depth())(waiting=0, in_flight=0, delayed=0, dead=1, workers=1)
