"""What every queue does, in memory and on each server."""

import time
from dataclasses import replace

import pytest

from common.tests.backends import QueueBench
from common.tests.steps import AT_ONCE_S, OTHER, RESULT, SONG, THIRD, claimed, state
from msaas.jobs import Job, JobState
from msaas.queue import JobQueue
from msaas.redis_queue import RedisQueue
from tests.servers import RedisServer


def test_a_queue_that_answers_is_pinged(queue: JobQueue) -> None:
    queue.ping()


def test_songs_are_taken_in_the_order_in_which_they_came(queue: JobQueue) -> None:
    for song in (SONG, OTHER, THIRD):
        queue.enqueue(Job(song))
    assert queue.waiting() == [SONG, OTHER, THIRD]
    worker = queue.consumer("w1")
    taken = []
    while queue.waiting():
        claim = claimed(worker)
        taken.append(claim.job.songhash)
        worker.finish(claim, RESULT)
    assert taken == [SONG, OTHER, THIRD]


def test_an_empty_queue_gives_nothing(queue: JobQueue) -> None:
    assert queue.consumer("w1").take(timeout_s=AT_ONCE_S) is None
    assert queue.waiting() == []
    assert queue.status(SONG) is None


def test_a_song_that_waits_or_runs_is_not_queued_twice(queue: JobQueue) -> None:
    assert queue.enqueue(Job(SONG)) is JobState.QUEUED
    assert queue.enqueue(Job(SONG)) is JobState.QUEUED
    assert queue.waiting() == [SONG]
    claimed(queue.consumer("w1"))
    assert queue.enqueue(Job(SONG)) is JobState.RUNNING
    assert queue.waiting() == []


def test_a_song_that_is_done_may_be_queued_again(queue: JobQueue) -> None:
    queue.enqueue(Job(SONG))
    worker = queue.consumer("w1")
    worker.finish(claimed(worker), RESULT)
    assert queue.enqueue(Job(SONG)) is JobState.QUEUED
    assert claimed(worker).attempt == 1


def test_a_state_without_an_entry_is_not_believed(queue: JobQueue, bench: QueueBench) -> None:
    queue.enqueue(Job(SONG))
    thief = queue.consumer("thief")
    payload = thief.take(timeout_s=AT_ONCE_S)
    assert payload is not None
    thief.bury(payload, reason="stolen")
    assert queue.enqueue(Job(SONG)) is JobState.QUEUED
    assert queue.waiting() == [SONG]


@pytest.mark.parametrize(
    "payload",
    [SONG.encode(), f'{{"hash": "{SONG}"}}'.encode(), f'{{"songhash": "{SONG}"}}'.encode()],
    ids=["bare", "hash", "songhash"],
)
def test_an_entry_pushed_by_hand_is_a_job(bench: QueueBench, payload: bytes) -> None:
    bench.push(payload)
    assert bench.queue.waiting() == [SONG]
    worker = bench.queue.consumer("w1")
    worker.finish(claimed(worker), RESULT)
    assert state(bench.queue) is JobState.DONE


def test_progress_and_facts_of_a_running_job_are_told(queue: JobQueue) -> None:
    queue.enqueue(Job(SONG, model="htdemucs_ft"))
    worker = queue.consumer("w1")
    claim = claimed(worker)
    worker.renew(claim, progress=0.5, model="htdemucs", device="cpu")
    worker.renew(claim, progress=0.75)
    status = queue.status(SONG)
    assert status is not None
    assert (status.state, status.progress, status.model, status.device, status.attempts) == (
        JobState.RUNNING,
        0.75,
        "htdemucs",
        "cpu",
        1,
    )
    assert status.created_at
    assert status.started_at
    assert not status.finished_at


def test_progress_is_one_only_when_the_job_is_done(queue: JobQueue) -> None:
    queue.enqueue(Job(SONG))
    worker = queue.consumer("w1")
    claim = claimed(worker)
    worker.renew(claim, progress=1.0)
    running = queue.status(SONG)
    worker.finish(claim, RESULT)
    done = queue.status(SONG)
    assert running
    assert done
    assert running.progress < 1
    assert (done.progress, done.stems, done.model) == (1, RESULT.stems, "htdemucs")
    assert done.finished_at


def test_entries_under_the_other_name_are_listed_where_they_are_taken(redis_server: RedisServer) -> None:
    queue = RedisQueue(redis_server.address)
    queue.enqueue(Job(SONG))
    redis_server.client().lpush("toWorker", OTHER, THIRD)
    assert queue.waiting() == [OTHER, THIRD, SONG]
    assert queue.depth().waiting == 3
    workers = [queue.consumer(f"w{number}") for number in range(3)]
    assert [claimed(worker).job.songhash for worker in workers] == [OTHER, THIRD, SONG]


def test_a_job_that_was_done_before_names_no_device(queue: JobQueue) -> None:
    queue.enqueue(Job(SONG))
    worker = queue.consumer("w1")
    worker.finish(claimed(worker), replace(RESULT, device=""))
    status = queue.status(SONG)
    assert status is not None
    assert (status.state, status.device) == (JobState.DONE, None)


def test_an_entry_that_is_no_job_is_not_listed(bench: QueueBench) -> None:
    bench.push(b"{not json")
    bench.queue.enqueue(Job(SONG))
    assert bench.queue.waiting() == [SONG]
    assert bench.queue.depth().waiting == 2


def test_a_song_is_open_until_all_its_jobs_have_ended(bench: QueueBench) -> None:
    variant = f"{SONG}.0123456789ab"
    bench.queue.enqueue(Job(SONG))
    bench.queue.enqueue(Job(variant))
    bench.push(b"{no job")
    worker = bench.queue.consumer("w1")
    first = claimed(worker)
    assert bench.queue.open_songs() == {SONG}
    worker.finish(first, RESULT)
    worker.give_back(claimed(worker), delay_s=60)
    assert bench.queue.open_songs() == {SONG}
    bench.pass_time(61)
    bench.queue.reap()
    while (payload := worker.take(timeout_s=0.01)) is not None:
        if payload.startswith(b"{no"):
            worker.bury(payload, reason="malformed")
        else:
            worker.finish(worker.claim(Job.decode(payload), payload=payload), RESULT)
    assert bench.queue.open_songs() == set()


def test_of_many_one_has_its_turn(bench: QueueBench) -> None:
    assert [bench.queue.take_turn("sweep", every_s=1.5) for _ in range(3)] == [True, False, False]
    assert bench.queue.take_turn("other", every_s=1.5)
    time.sleep(1.6)
    assert bench.queue.take_turn("sweep", every_s=1.5)
