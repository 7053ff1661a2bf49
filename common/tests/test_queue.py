"""The queue in memory and on each server: enqueue, take, status."""

from dataclasses import replace

import pytest

from common.tests.backends import QueueBench
from common.tests.steps import AT_ONCE_S, OTHER, RESULT, SONG, THIRD, claim_next, state
from msaas.errors import QueueFull
from msaas.jobs import Callback, Job, JobState
from msaas.queue.protocol import JobQueue
from msaas.queue.redis.jobs import RedisQueue
from msaas.queue.redis.keys import Keys
from tests.servers import RedisServer, wait_until


def test_ping_succeeds_on_a_reachable_queue(queue: JobQueue) -> None:
    queue.ping()


def test_entries_are_taken_oldest_first(queue: JobQueue) -> None:
    for song in (SONG, OTHER, THIRD):
        queue.enqueue(Job(job_id=song))
    assert queue.waiting() == [SONG, OTHER, THIRD]
    worker = queue.consumer("w1")
    taken = []
    while queue.waiting():
        claim = claim_next(worker)
        taken.append(claim.job.job_id)
        worker.finish(claim, RESULT)
    assert taken == [SONG, OTHER, THIRD]


def test_waiting_jobs_are_listed_page_by_page(queue: JobQueue) -> None:
    for song in (SONG, OTHER, THIRD):
        queue.enqueue(Job(job_id=song))
    assert queue.waiting(limit=2) == [SONG, OTHER]
    assert queue.waiting(offset=2, limit=2) == [THIRD]
    assert queue.waiting(offset=1) == [OTHER, THIRD]
    assert queue.waiting(offset=3, limit=2) == []


def test_pages_pass_from_the_alias_to_the_list(redis_server: RedisServer) -> None:
    queue, client = RedisQueue(redis_server.address), redis_server.client()
    client.lpush(Keys().alias, SONG, OTHER)
    client.lpush(Keys().waiting, THIRD)
    assert [queue.waiting(offset=at, limit=2) for at in range(4)] == [
        [SONG, OTHER],
        [OTHER, THIRD],
        [THIRD],
        [],
    ]


def test_job_beyond_the_limit_is_refused_with_its_callback(queue: JobQueue, bench: QueueBench) -> None:
    callback = Callback(url="http://receiver.example/")
    queue.enqueue(Job(job_id=SONG), max_waiting=2)
    bench.push(OTHER.encode())
    with pytest.raises(QueueFull, match="2 songs wait"):
        queue.enqueue(Job(job_id=THIRD, callback=callback), max_waiting=2)
    assert queue.waiting() == [SONG, OTHER]
    assert queue.status(THIRD) is None
    assert bench.outbox.deliveries(THIRD) == []
    # A job that waits already takes no further place.
    assert queue.enqueue(Job(job_id=SONG, callback=callback), max_waiting=2) is JobState.QUEUED
    assert len(bench.outbox.deliveries(SONG)) == 1


def test_take_returns_none_on_an_empty_queue(queue: JobQueue) -> None:
    assert queue.consumer("w1").take(timeout_s=AT_ONCE_S) is None
    assert queue.waiting() == []
    assert queue.status(SONG) is None


def test_waiting_or_running_job_is_not_enqueued_twice(queue: JobQueue) -> None:
    assert queue.enqueue(Job(job_id=SONG)) is JobState.QUEUED
    assert queue.enqueue(Job(job_id=SONG)) is JobState.QUEUED
    assert queue.waiting() == [SONG]
    claim_next(queue.consumer("w1"))
    assert queue.enqueue(Job(job_id=SONG)) is JobState.RUNNING
    assert queue.waiting() == []


def test_finished_job_can_be_enqueued_again(queue: JobQueue) -> None:
    queue.enqueue(Job(job_id=SONG))
    worker = queue.consumer("w1")
    worker.finish(claim_next(worker), RESULT)
    assert queue.enqueue(Job(job_id=SONG)) is JobState.QUEUED
    assert claim_next(worker).attempt == 1


def test_state_without_an_entry_does_not_block_enqueue(queue: JobQueue, bench: QueueBench) -> None:
    queue.enqueue(Job(job_id=SONG))
    thief = queue.consumer("thief")
    payload = thief.take(timeout_s=AT_ONCE_S)
    assert payload is not None
    thief.dead_letter(payload, reason="stolen")
    assert queue.enqueue(Job(job_id=SONG)) is JobState.QUEUED
    assert queue.waiting() == [SONG]


@pytest.mark.parametrize(
    "payload",
    [SONG.encode(), f'{{"hash": "{SONG}"}}'.encode(), f'{{"songhash": "{SONG}"}}'.encode()],
    ids=["bare", "hash", "songhash"],
)
def test_entry_pushed_by_hand_is_a_job(bench: QueueBench, payload: bytes) -> None:
    bench.push(payload)
    assert bench.queue.waiting() == [SONG]
    worker = bench.queue.consumer("w1")
    worker.finish(claim_next(worker), RESULT)
    assert state(bench.queue) is JobState.DONE


def test_status_shows_progress_and_facts_of_a_running_job(queue: JobQueue) -> None:
    queue.enqueue(Job(job_id=SONG, options={"model": "htdemucs_ft"}))
    worker = queue.consumer("w1")
    claim = claim_next(worker)
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
    queue.enqueue(Job(job_id=SONG))
    worker = queue.consumer("w1")
    claim = claim_next(worker)
    worker.renew(claim, progress=1.0)
    running = queue.status(SONG)
    worker.finish(claim, RESULT)
    done = queue.status(SONG)
    assert running
    assert done
    assert running.progress < 1
    assert (done.progress, done.stems, done.model) == (1, RESULT.stems, "htdemucs")
    assert done.finished_at


@pytest.mark.parametrize(
    ("fields", "known"),
    [
        ({}, JobState.QUEUED),
        ({"lease_until": "2000000000"}, JobState.RUNNING),
        ({"finished_at": "1700000000"}, JobState.FAILED),
    ],
)
def test_state_of_a_newer_version_becomes_a_known_one(
    fields: dict[str, str], known: JobState, redis_server: RedisServer
) -> None:
    redis_server.client().hset(Keys().job(SONG), mapping={"state": "paused", "progress": "0.5", **fields})
    assert state(RedisQueue(redis_server.address)) is known


def test_alias_entries_are_listed_in_the_order_of_take(redis_server: RedisServer) -> None:
    queue = RedisQueue(redis_server.address)
    queue.enqueue(Job(job_id=SONG))
    redis_server.client().lpush("toWorker", OTHER, THIRD)
    assert queue.waiting() == [OTHER, THIRD, SONG]
    assert queue.depth().waiting == 3
    workers = [queue.consumer(f"w{number}") for number in range(3)]
    assert [claim_next(worker).job.job_id for worker in workers] == [OTHER, THIRD, SONG]


def test_result_from_before_the_job_has_no_device(queue: JobQueue) -> None:
    queue.enqueue(Job(job_id=SONG))
    worker = queue.consumer("w1")
    worker.finish(claim_next(worker), replace(RESULT, device=""))
    status = queue.status(SONG)
    assert status is not None
    assert (status.state, status.device) == (JobState.DONE, None)


def test_malformed_entry_is_not_listed(bench: QueueBench) -> None:
    bench.push(b"{not json")
    bench.queue.enqueue(Job(job_id=SONG))
    assert bench.queue.waiting() == [SONG]
    assert bench.queue.depth().waiting == 2


def test_song_is_referenced_until_all_its_jobs_end(bench: QueueBench) -> None:
    variant = f"{SONG}.0123456789ab"
    bench.queue.enqueue(Job(job_id=SONG))
    bench.queue.enqueue(Job(job_id=variant))
    bench.push(b"{no job")
    worker = bench.queue.consumer("w1")
    first = claim_next(worker)
    assert bench.queue.referenced_songs() == {SONG}
    worker.finish(first, RESULT)
    worker.release(claim_next(worker), delay_s=60)
    assert bench.queue.referenced_songs() == {SONG}
    bench.pass_time(61)
    bench.queue.reap()
    while (payload := worker.take(timeout_s=0.01)) is not None:
        if payload.startswith(b"{no"):
            worker.dead_letter(payload, reason="malformed")
        else:
            worker.finish(worker.claim(Job.decode(payload), payload=payload), RESULT)
    assert bench.queue.referenced_songs() == set()


def test_lock_is_acquired_by_one_of_many(bench: QueueBench) -> None:
    assert [bench.queue.acquire_lock("sweep", every_s=60) for _ in range(3)] == [True, False, False]
    assert bench.queue.acquire_lock("other", every_s=60)
    bench.pass_time(50)
    assert not bench.queue.acquire_lock("sweep", every_s=60)
    bench.pass_time(11)
    wait_until(lambda: bench.queue.acquire_lock("sweep", every_s=60), timeout_s=5)
    assert not bench.queue.acquire_lock("sweep", every_s=60)


def test_extended_lock_expires_later(bench: QueueBench) -> None:
    assert bench.queue.acquire_lock("sweep", every_s=60)
    bench.queue.extend_lock("sweep", for_s=600)
    bench.pass_time(500)
    assert not bench.queue.acquire_lock("sweep", every_s=60)
    bench.queue.extend_lock("sweep", for_s=30)
    bench.pass_time(31)
    wait_until(lambda: bench.queue.acquire_lock("sweep", every_s=60), timeout_s=5)
