"""The history in the queue: each end of a job adds one entry, until the keeper has moved it."""

import json

import pytest

from common.tests.backends import POLICY, QueueBench
from common.tests.steps import AT_ONCE_S, OOPS, OTHER, RESULT, SONG, THIRD, claim_next
from msaas.errors import AttemptsExhausted
from msaas.jobs import Job, JobState
from msaas.queue.consumer import Result
from msaas.queue.history import HistoryQueue
from msaas.queue.protocol import EXHAUSTED, Cancellation, JobQueue
from msaas.separations import Separation

ALL = Cancellation(owner="root", any_owner=True, all_requests=True)
WEIGHTS = "f" * 64


def ends_in(history: HistoryQueue) -> list[Separation]:
    return history.read(limit=100).separations()


def test_finished_job_is_in_the_history(queue: JobQueue, history: HistoryQueue) -> None:
    variant = f"{SONG}.{'1' * 12}"
    queue.enqueue(Job(job_id=variant, options={"model": "mdx", "overlap": 0.5}), duration_s=12.5)
    worker = queue.consumer("w1")
    claim = claim_next(worker)
    worker.finish(claim, Result(model="mdx", device="cuda", stems=("bass",), weights_sha256=WEIGHTS))
    worker.finish(claim, RESULT)
    [ended] = ends_in(history)
    assert (ended.job_id, ended.song_hash, ended.state) == (variant, SONG, JobState.DONE)
    assert (ended.model, ended.device, ended.weights_sha256) == ("mdx", "cuda", WEIGHTS)
    assert ended.options == {"model": "mdx", "overlap": 0.5}
    assert (ended.attempts, ended.error_code, ended.audio_s) == (1, "", 12.5)
    assert ended.queued_at is not None
    assert ended.started_at is not None
    assert ended.queued_at <= ended.started_at <= ended.finished_at
    assert ended.work_s == ended.finished_at - ended.started_at


def test_failed_and_cancelled_jobs_are_in_the_history(queue: JobQueue, history: HistoryQueue) -> None:
    for song in (SONG, OTHER, THIRD):
        queue.enqueue(Job(job_id=song))
    worker = queue.consumer("w1")
    worker.fail(claim_next(worker), OOPS)
    claim_next(worker)
    queue.cancel(OTHER, ALL)
    queue.cancel(THIRD, ALL)
    failed, running, waiting = ends_in(history)
    assert (failed.job_id, failed.state, failed.error_code) == (SONG, JobState.FAILED, OOPS.code)
    assert (running.job_id, running.state, running.attempts) == (OTHER, JobState.CANCELLED, 1)
    assert (waiting.job_id, waiting.state, waiting.work_s) == (THIRD, JobState.CANCELLED, None)


def test_retried_job_is_in_the_history_after_its_last_attempt(queue: JobQueue, history: HistoryQueue) -> None:
    queue.enqueue(Job(job_id=SONG))
    worker = queue.consumer("w1")
    for _ in range(POLICY.max_attempts):
        assert ends_in(history) == []
        worker.retry(claim_next(worker), OOPS)
    [ended] = ends_in(history)
    assert (ended.state, ended.attempts, ended.error_code) == (JobState.FAILED, 3, OOPS.code)


def test_job_of_workers_that_died_is_in_the_history(bench: QueueBench) -> None:
    bench.queue.enqueue(Job(job_id=SONG))
    for number in range(POLICY.max_attempts):
        claim_next(bench.queue.consumer(f"w{number}"))
        bench.pass_time(POLICY.lease_s + 1)
        bench.queue.reap()
    [ended] = ends_in(bench.history)
    assert (ended.state, ended.attempts, ended.error_code) == (JobState.FAILED, 3, EXHAUSTED.code)


def test_job_that_is_claimed_too_often_is_in_the_history(bench: QueueBench) -> None:
    """Its workers took a second entry of the job, which was pushed by hand."""
    worker = bench.queue.consumer("w1")
    for _ in range(POLICY.max_attempts + 1):
        bench.push(SONG.encode())
    for number in range(POLICY.max_attempts):
        claim = claim_next(worker)
        assert claim.attempt == number + 1
        bench.pass_time(POLICY.lease_s + 1)
        worker = bench.queue.consumer(f"w{number + 2}")
    payload = worker.take(timeout_s=AT_ONCE_S)
    assert payload
    with pytest.raises(AttemptsExhausted):
        worker.claim(Job.decode(payload), payload=payload)
    [ended] = ends_in(bench.history)
    assert (ended.state, ended.error_code) == (JobState.FAILED, EXHAUSTED.code)


def test_each_end_of_a_job_has_an_entry(queue: JobQueue, history: HistoryQueue) -> None:
    worker = queue.consumer("w1")
    for result in (RESULT, Result(model="htdemucs", device="", stems=RESULT.stems)):
        queue.enqueue(Job(job_id=SONG))
        worker.finish(claim_next(worker), result)
    first, second = ends_in(history)
    assert first.event_id != second.event_id
    assert second.queued_at is not None
    # The second request, not the first, is the time that counts.
    assert first.finished_at <= second.queued_at


def test_options_of_the_entry_that_a_worker_took_are_in_the_history(bench: QueueBench) -> None:
    bench.push(
        json.dumps(
            {"hash": SONG, "model": "mdx", "callback": {"url": "http://there", "secret": "s"}}
        ).encode()
    )
    worker = bench.queue.consumer("w1")
    worker.finish(claim_next(worker), RESULT)
    [ended] = ends_in(bench.history)
    assert ended.options == {"model": "mdx"}
    assert b"there" not in bench.history.read(limit=1).entries[0]


def test_options_that_are_too_long_are_left_out(bench: QueueBench) -> None:
    bench.push(json.dumps({"hash": SONG, "unknown": "x" * 3000}).encode())
    worker = bench.queue.consumer("w1")
    worker.fail(claim_next(worker), OOPS)
    [ended] = ends_in(bench.history)
    assert ended.options == {}


def test_trimmed_entries_are_forgotten(queue: JobQueue, history: HistoryQueue) -> None:
    worker = queue.consumer("w1")
    for song in (SONG, OTHER, THIRD):
        queue.enqueue(Job(job_id=song))
        worker.finish(claim_next(worker), RESULT)
    batch = history.read(limit=2)
    assert [each.job_id for each in batch.separations()] == [SONG, OTHER]
    history.trim(batch)
    assert [each.job_id for each in ends_in(history)] == [THIRD]


def test_second_keeper_trims_nothing(queue: JobQueue, history: HistoryQueue) -> None:
    worker = queue.consumer("w1")
    for song in (SONG, OTHER):
        queue.enqueue(Job(job_id=song))
        worker.finish(claim_next(worker), RESULT)
    batches = [history.read(limit=1), history.read(limit=1)]
    for batch in batches:
        history.trim(batch)
    assert [each.job_id for each in ends_in(history)] == [OTHER]
    history.trim(history.read(limit=100))
    history.trim(history.read(limit=100))
    assert ends_in(history) == []
