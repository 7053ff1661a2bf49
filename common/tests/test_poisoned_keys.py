"""Keys in Redis that another program changed: of another type, or with invalid fields."""

import json
import math
from typing import Any

import pytest
import redis

from common.tests.backends import POLICY, shift_times
from common.tests.steps import OOPS, OTHER, RESULT, SONG, claim_next, state
from msaas.errors import LeaseLost, MalformedJob
from msaas.fragments import Fragments
from msaas.jobs import Callback, Job, JobState
from msaas.queue.consumer import Claim, Consumer
from msaas.queue.redis.jobs import RedisQueue
from msaas.queue.redis.keys import Keys
from tests.servers import RedisServer

KEYS = Keys()
JOB = KEYS.job(SONG)


@pytest.fixture
def client(redis_server: RedisServer) -> redis.Redis:
    return redis_server.client()


@pytest.fixture
def queue(redis_server: RedisServer) -> RedisQueue:
    return RedisQueue(redis_server.address, policy=POLICY)


def poison(client: redis.Redis, key: str) -> None:
    client.delete(key)
    client.set(key, "x")


# Types


@pytest.mark.parametrize("key", [JOB, KEYS.callbacks(SONG), KEYS.deliveries(SONG)])
def test_claim_of_a_poisoned_job_is_refused_for_good(client: Any, queue: RedisQueue, key: str) -> None:
    queue.enqueue(Job(job_id=SONG, callback=Callback("http://there/")))
    queue.enqueue(Job(job_id=OTHER))
    poison(client, key)
    worker = queue.consumer("w1")
    payload = worker.take(timeout_s=1)
    assert payload is not None
    with pytest.raises(MalformedJob, match="another type") as refused:
        worker.claim(Job.decode(payload), payload=payload)
    worker.dead_letter(payload, reason=str(refused.value))
    [letter] = client.lrange(KEYS.dead, 0, -1)
    assert "another type" in json.loads(letter)["reason"]
    worker.finish(claim_next(worker), RESULT)
    assert state(queue, OTHER) is JobState.DONE


@pytest.mark.parametrize("key", [JOB, KEYS.callbacks(SONG), KEYS.deliveries(SONG)])
def test_enqueue_replaces_a_poisoned_key(client: Any, queue: RedisQueue, key: str) -> None:
    poison(client, key)
    queue.enqueue(Job(job_id=SONG, callback=Callback("http://there/")))
    worker = queue.consumer("w1")
    worker.finish(claim_next(worker), RESULT)
    assert state(queue) is JobState.DONE


def test_poisoned_job_is_unknown(client: Any, queue: RedisQueue) -> None:
    poison(client, JOB)
    assert queue.status(SONG) is None


STEPS = {
    "renew": lambda worker, claim: worker.renew(claim, progress=0.5),
    "finish": lambda worker, claim: worker.finish(claim, RESULT),
    "fail": lambda worker, claim: worker.fail(claim, OOPS),
    "retry": lambda worker, claim: worker.retry(claim, OOPS),
    "release": lambda worker, claim: worker.release(claim),
}


@pytest.mark.parametrize("step", STEPS)
def test_job_that_is_poisoned_during_its_work_is_a_lost_lease(
    client: Any, queue: RedisQueue, step: str
) -> None:
    queue.enqueue(Job(job_id=SONG))
    worker: Consumer = queue.consumer("w1")
    claim: Claim = claim_next(worker)
    poison(client, JOB)
    with pytest.raises(LeaseLost):
        STEPS[step](worker, claim)
    assert worker.take(timeout_s=0.01) == claim.payload


def test_reaper_returns_all_jobs_beside_a_poisoned_one(client: Any, queue: RedisQueue) -> None:
    for number, song in enumerate((SONG, OTHER)):
        queue.enqueue(Job(job_id=song))
        claim_next(queue.consumer(f"victim-{number}"))
    poison(client, JOB)
    shift_times(client, KEYS, POLICY.lease_s + 1)
    assert queue.reap() == [OTHER]
    assert sorted(queue.waiting()) == [SONG, OTHER]


def test_fragments_of_a_poisoned_job_are_stale(client: Any, queue: RedisQueue) -> None:
    queue.enqueue(Job(job_id=SONG))
    worker = queue.consumer("w1")
    claim = claim_next(worker)
    fragments = Fragments(job_id=SONG, tag="t", stems=("vocals",))
    worker.renew(claim, progress=0.1, fragments=fragments)
    poison(client, JOB)
    assert queue.stale_fragments() == [fragments]


# Fields


POISON = [
    "nan",
    "-nan",
    "inf",
    "-inf",
    "1e999",
    "",
    "x",
    "-1",
    "[]",
    "null",
    '{"a": 1}',
    "9" * 400,
    "[" * 5000,
]
FIELDS = [
    *("state", "progress", "attempts", "stems", "error", "pieces", "created_at", "started_at", "finished_at"),
    *("lease_until", "enqueued_at", "give_backs", "model"),
]


@pytest.mark.parametrize("value", POISON)
@pytest.mark.parametrize("field", FIELDS)
def test_status_with_an_invalid_field_is_strict_json(
    client: Any, queue: RedisQueue, field: str, value: str
) -> None:
    queue.enqueue(Job(job_id=SONG))
    claim_next(queue.consumer("w1"))
    client.hset(JOB, field, value)
    status = queue.status(SONG)
    assert status is not None
    assert 0 <= status.progress <= 1
    assert math.isfinite(status.attempts)
    json.dumps(status.as_json(now=1e9), allow_nan=False)


@pytest.mark.parametrize("value", POISON)
@pytest.mark.parametrize("field", ["attempts", "lease_until", "created_at", "give_backs", "started_at"])
def test_job_with_an_invalid_field_is_done(client: Any, queue: RedisQueue, field: str, value: str) -> None:
    queue.enqueue(Job(job_id=SONG))
    client.hset(JOB, field, value)
    worker = queue.consumer("w1")
    worker.release(claim_next(worker))
    worker.finish(claim_next(worker), RESULT)
    assert state(queue) is JobState.DONE
