"""Cancellation on each queue: requests, their callbacks, and the work of a job."""

import json

import pytest

from common.tests.backends import QueueBench
from common.tests.steps import OTHER, RESULT, SONG, claim_next, state
from msaas.errors import ClaimRefused, JobEnded, JobNotFound, LeaseLost, NotYourRequest
from msaas.jobs import Callback, Job, JobState
from msaas.queue.protocol import MAX_REQUESTS, Cancellation, JobQueue, Request
from msaas.queue.song_registry import SongRegistry
from msaas.songs import source_of

ANN, BOB = Request(id="r1", owner="ann"), Request(id="r2", owner="bob")
USER = Request(id="song-1", owner="user:1")
BY_ANN, BY_BOB = Cancellation(owner="ann"), Cancellation(owner="bob")
BY_ROOT = Cancellation(owner="root", any_owner=True)
HOOK = Callback("http://receiver.example/")


def test_waiting_job_is_cancelled(queue: JobQueue) -> None:
    queue.enqueue(Job(job_id=SONG), request=ANN)
    queue.enqueue(Job(job_id=OTHER), request=ANN)
    assert queue.cancel(SONG, BY_ANN) == 0
    assert state(queue) is JobState.CANCELLED
    assert queue.waiting() == [OTHER]
    status = queue.status(SONG)
    assert status
    assert status.finished_at
    assert status.error is None


def test_cancellation_is_idempotent(queue: JobQueue) -> None:
    queue.enqueue(Job(job_id=SONG), request=ANN)
    assert [queue.cancel(SONG, BY_ANN) for _ in range(2)] == [0, 0]


def test_running_job_is_cancelled_and_its_worker_loses_the_lease(queue: JobQueue) -> None:
    queue.enqueue(Job(job_id=SONG), request=ANN)
    worker = queue.consumer("w1")
    claim = claim_next(worker)
    queue.cancel(SONG, BY_ANN)
    for step in (
        lambda: worker.renew(claim, progress=0.5),
        lambda: worker.finish(claim, RESULT),
        lambda: worker.release(claim),
    ):
        with pytest.raises(LeaseLost):
            step()
    assert state(queue) is JobState.CANCELLED
    assert queue.depth().in_flight == 0


def test_entry_that_was_taken_cannot_be_claimed_after_its_cancellation(queue: JobQueue) -> None:
    queue.enqueue(Job(job_id=SONG), request=ANN)
    worker = queue.consumer("w1")
    payload = worker.take(timeout_s=0.05) or b""
    queue.cancel(SONG, BY_ANN)
    with pytest.raises(ClaimRefused):
        worker.claim(Job.decode(payload), payload=payload)
    assert queue.depth().in_flight == 0


def test_delayed_job_is_cancelled(queue: JobQueue) -> None:
    queue.enqueue(Job(job_id=SONG), request=ANN)
    worker = queue.consumer("w1")
    worker.release(claim_next(worker), delay_s=60)
    queue.cancel(SONG, BY_ANN)
    assert queue.depth().delayed == 0


def test_cancelled_job_runs_again_when_it_is_asked_for_again(queue: JobQueue, bench: QueueBench) -> None:
    queue.enqueue(Job(job_id=SONG), request=ANN)
    queue.cancel(SONG, BY_ANN)
    queue.enqueue(Job(job_id=SONG), request=ANN)
    assert state(queue) is JobState.QUEUED
    queue.cancel(SONG, BY_ANN)
    bench.push(SONG.encode())
    worker = queue.consumer("w1")
    worker.finish(claim_next(worker), RESULT)
    assert state(queue) is JobState.DONE


def test_job_ends_with_the_last_of_its_requests(queue: JobQueue) -> None:
    for request in (ANN, BOB):
        queue.enqueue(Job(job_id=SONG), request=request)
    assert queue.cancel(SONG, BY_ANN) == 1
    assert state(queue) is JobState.QUEUED
    assert queue.cancel(SONG, BY_BOB) == 0
    assert state(queue) is JobState.CANCELLED


def test_request_id_cancels_one_request_of_an_owner(queue: JobQueue) -> None:
    for name in ("r1", "r2", "r3"):
        queue.enqueue(Job(job_id=SONG), request=Request(id=name, owner="ann"))
    assert queue.cancel(SONG, Cancellation(owner="ann", request_id="r2")) == 2
    assert queue.cancel(SONG, BY_ANN) == 0


def test_requests_of_others_are_not_cancelled(queue: JobQueue) -> None:
    queue.enqueue(Job(job_id=SONG), request=ANN)
    for foreign in (BY_BOB, Cancellation(owner="bob", request_id="r1"), BY_ROOT):
        with pytest.raises(NotYourRequest):
            queue.cancel(SONG, foreign)
    assert state(queue) is JobState.QUEUED


def test_request_of_another_is_cancelled_with_any_owner(queue: JobQueue) -> None:
    queue.enqueue(Job(job_id=SONG), request=ANN)
    assert queue.cancel(SONG, Cancellation(owner="root", request_id="r1", any_owner=True)) == 0


def test_all_requests_are_cancelled_at_once(queue: JobQueue) -> None:
    for request in (ANN, BOB):
        queue.enqueue(Job(job_id=SONG), request=request)
    assert queue.cancel(SONG, Cancellation(owner="root", any_owner=True, all_requests=True)) == 0
    assert state(queue) is JobState.CANCELLED


def test_requests_of_accounts_are_left_unless_they_are_meant(queue: JobQueue) -> None:
    for request in (ANN, USER):
        queue.enqueue(Job(job_id=SONG), request=request)
    named = Cancellation(owner="root", request_id=USER.id, any_owner=True)
    with pytest.raises(NotYourRequest):
        queue.cancel(SONG, named)
    everything = Cancellation(owner="root", any_owner=True, all_requests=True)
    assert queue.cancel(SONG, everything) == 1
    with pytest.raises(NotYourRequest):
        queue.cancel(SONG, everything)
    assert state(queue) is JobState.QUEUED
    assert queue.cancel(SONG, Cancellation(owner=USER.owner, request_id=USER.id)) == 0
    assert state(queue) is JobState.CANCELLED


def test_requests_of_accounts_are_cancelled_by_a_removal(queue: JobQueue) -> None:
    for request in (ANN, USER):
        queue.enqueue(Job(job_id=SONG), request=request)
    removal = Cancellation(owner="", any_owner=True, all_requests=True, with_accounts=True)
    assert queue.cancel(SONG, removal) == 0
    assert state(queue) is JobState.CANCELLED


def test_request_of_an_account_beyond_the_limit_is_left(queue: JobQueue) -> None:
    for number in range(MAX_REQUESTS):
        queue.enqueue(Job(job_id=SONG), request=Request(id=f"r{number}", owner="ann"))
    for request in (BOB, USER):
        queue.enqueue(Job(job_id=SONG), request=request)
    assert queue.cancel(SONG, Cancellation(owner="root", any_owner=True, all_requests=True)) == 1
    assert state(queue) is JobState.QUEUED


def test_job_that_was_pushed_by_hand_is_cancelled_with_any_owner(queue: JobQueue, bench: QueueBench) -> None:
    bench.push(SONG.encode())
    claim_next(queue.consumer("w1"))
    with pytest.raises(NotYourRequest):
        queue.cancel(SONG, BY_ANN)
    assert queue.cancel(SONG, BY_ROOT) == 0


def test_unknown_job_and_ended_job_cannot_be_cancelled(queue: JobQueue) -> None:
    with pytest.raises(JobNotFound):
        queue.cancel(SONG, BY_ROOT)
    queue.enqueue(Job(job_id=SONG), request=ANN)
    worker = queue.consumer("w1")
    worker.finish(claim_next(worker), RESULT)
    with pytest.raises(JobEnded, match="it is done"):
        queue.cancel(SONG, BY_ANN)


def test_requests_of_an_ended_job_do_not_count_for_the_next_one(queue: JobQueue) -> None:
    for request in (ANN, BOB):
        queue.enqueue(Job(job_id=SONG), request=request)
    worker = queue.consumer("w1")
    worker.finish(claim_next(worker), RESULT)
    queue.enqueue(Job(job_id=SONG), request=ANN)
    assert queue.cancel(SONG, BY_ANN) == 0


def test_requests_outlive_an_attempt(queue: JobQueue, bench: QueueBench) -> None:
    for request in (ANN, BOB):
        queue.enqueue(Job(job_id=SONG), request=request)
    claim_next(queue.consumer("w1"))
    bench.pass_time(100)
    assert queue.reap() == [SONG]
    assert queue.cancel(SONG, BY_ANN) == 1


def test_requests_are_bounded_and_a_job_of_very_many_stays(queue: JobQueue) -> None:
    for number in range(MAX_REQUESTS + 5):
        queue.enqueue(Job(job_id=SONG), request=Request(id=f"r{number}", owner="ann"))
    assert queue.cancel(SONG, BY_ANN) == 1
    with pytest.raises(NotYourRequest):
        queue.cancel(SONG, BY_ANN)
    assert queue.cancel(SONG, Cancellation(owner="root", any_owner=True, all_requests=True)) == 0


def test_callback_of_a_cancelled_job_says_so(queue: JobQueue, bench: QueueBench) -> None:
    queue.enqueue(Job(job_id=SONG, callback=HOOK), request=ANN)
    queue.cancel(SONG, BY_ANN)
    delivery = bench.outbox.receive(visibility_s=60)
    assert delivery
    assert json.loads(delivery.body) == {"songhash": SONG, "state": "cancelled"}


def test_callback_with_data_is_sent_for_a_cancellation_only_if_it_asks(
    queue: JobQueue, bench: QueueBench
) -> None:
    asking = Callback(HOOK.url, {"n": 1}, events=("done", "cancelled"))
    queue.enqueue(Job(job_id=SONG, callback=Callback(HOOK.url, {"n": 1})), request=ANN)
    queue.enqueue(Job(job_id=SONG, callback=asking), request=ANN)
    queue.cancel(SONG, BY_ANN)
    assert sorted(each.state for each in bench.outbox.deliveries(SONG)) == ["pending", "skipped"]
    delivery = bench.outbox.receive(visibility_s=60)
    assert delivery
    assert json.loads(delivery.body) == {
        "songhash": SONG,
        "state": "cancelled",
        "error": None,
        "data": {"n": 1},
    }


def test_callback_of_a_cancelled_request_is_sent_though_the_job_goes_on(
    queue: JobQueue, bench: QueueBench
) -> None:
    queue.enqueue(Job(job_id=SONG, callback=HOOK), request=ANN)
    queue.enqueue(Job(job_id=SONG, callback=HOOK), request=BOB)
    queue.cancel(SONG, BY_ANN)
    first = bench.outbox.receive(visibility_s=60)
    assert first
    assert json.loads(first.body)["state"] == "cancelled"
    assert bench.outbox.receive(visibility_s=60) is None
    worker = queue.consumer("w1")
    worker.finish(claim_next(worker), RESULT)
    second = bench.outbox.receive(visibility_s=60)
    assert second
    assert json.loads(second.body)["state"] == "done"
    assert bench.outbox.receive(visibility_s=60) is None


def test_cleanup_is_for_cancelled_jobs_and_keeps_new_requests_waiting(
    queue: JobQueue, registry: SongRegistry
) -> None:
    worker = queue.consumer("w1")
    queue.enqueue(Job(job_id=SONG), request=ANN)
    assert not worker.begin_cleanup(SONG)
    queue.cancel(SONG, BY_ANN)
    assert worker.begin_cleanup(SONG)
    assert not worker.begin_cleanup(SONG)
    assert not registry.request_song(source_of(SONG))
    worker.end_cleanup(SONG)
    assert registry.request_song(source_of(SONG))
