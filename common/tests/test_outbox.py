"""The outbox: redelivery, dead deliveries, secrets and limits."""

import json
from dataclasses import replace

import pytest

from common.tests.backends import POLICY, QueueBench, memory_bench, redis_bench
from common.tests.steps import RESULT, claim_next, state
from msaas.errors import CallbackNotFound, CallbackNotReady, InvalidCallback, QueueFull, TooManyCallbacks
from msaas.jobs import Callback, Job, JobError, JobState
from msaas.queue.consumer import Result
from msaas.queue.outbox import MAX_LISTED, size_of
from msaas.queue.redis.jobs import RedisQueue
from msaas.queue.redis.keys import Keys
from msaas.queue.redis.outbox import RedisOutbox
from msaas.webhook_secrets import parse_webhook_secret
from tests.servers import RedisServer

SONG = "a" * 64
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CALLBACK = Callback("http://there/", data={"n": 1}, secret=SECRET)
#: Room for three callbacks of 60 kB.
SMALL = replace(POLICY, max_callback_bytes=200_000)


@pytest.fixture(params=["memory", "valkey"])
def small_bench(request: pytest.FixtureRequest) -> QueueBench:
    if request.param == "memory":
        return memory_bench(policy=SMALL)
    return redis_bench(request.getfixturevalue("redis_server"), policy=SMALL)


def sent(bench: QueueBench, *, state: str) -> str:
    """Return a delivery with one attempt and this ending."""
    delivery_id = bench.outbox.add(CALLBACK, job_id=SONG)
    delivery = bench.outbox.receive(visibility_s=60)
    assert delivery
    bench.outbox.complete(delivery, state=state, detail="why")
    return delivery_id


def test_dead_delivery_can_be_redelivered_under_its_id(bench: QueueBench) -> None:
    delivery_id = sent(bench, state="dead")
    retry_later = bench.outbox.redeliver(delivery_id, job_id=SONG)
    assert (retry_later.id, retry_later.state, retry_later.attempts, retry_later.detail) == (
        delivery_id,
        "pending",
        0,
        "",
    )
    delivery = bench.outbox.receive(visibility_s=60)
    assert delivery is not None
    assert (delivery.id, delivery.attempts, delivery.body) == (delivery_id, 1, b'{"n": 1}')
    assert bench.outbox.receive(visibility_s=60) is None


@pytest.mark.parametrize("state", ["refused", "delivered"])
def test_ended_delivery_keeps_its_state_and_origin_only(bench: QueueBench, state: str) -> None:
    callback = Callback("https://user@there:8443/secret?key=1#a", data={"n": 1}, secret=SECRET)
    delivery_id = bench.outbox.add(callback, job_id=SONG)
    delivery = bench.outbox.receive(visibility_s=60)
    assert delivery
    bench.outbox.complete(delivery, state=state, detail="why")
    (kept,) = bench.outbox.deliveries(SONG)
    assert (kept.id, kept.state, kept.attempts, kept.detail) == (delivery_id, state, 1, "why")
    assert (kept.url, kept.secret) == ("https://user@there:8443", None)
    assert b'"n"' not in kept.body
    with pytest.raises(CallbackNotReady, match="no longer kept"):
        bench.outbox.redeliver(delivery_id, job_id=SONG)


def test_pending_delivery_can_be_redelivered_now(bench: QueueBench) -> None:
    delivery_id = bench.outbox.add(CALLBACK, job_id=SONG)
    delivery = bench.outbox.receive(visibility_s=60)
    assert delivery
    bench.outbox.retry_later(delivery, delay_s=3600)
    (waiting,) = bench.outbox.deliveries(SONG)
    assert waiting.due_at is not None
    bench.outbox.redeliver(delivery_id, job_id=SONG)
    assert bench.outbox.receive(visibility_s=60)


@pytest.mark.parametrize("attempts", [1, 2])
def test_redelivery_during_an_attempt_is_sent_after_it(bench: QueueBench, attempts: int) -> None:
    delivery_id = bench.outbox.add(CALLBACK, job_id=SONG)
    for _ in range(attempts):
        under_way = bench.outbox.receive(visibility_s=60)
        bench.pass_time(61)
    assert under_way
    bench.outbox.redeliver(delivery_id, job_id=SONG)
    bench.outbox.complete(under_way, state="delivered")
    (waiting,) = bench.outbox.deliveries(SONG)
    assert waiting.state == "pending"
    delivery = bench.outbox.receive(visibility_s=60)
    assert delivery
    assert (delivery.id, delivery.attempts) == (delivery_id, 1)
    bench.outbox.complete(delivery, state="delivered")
    assert bench.outbox.receive(visibility_s=60) is None


def test_redelivery_before_the_end_of_the_job_is_refused(bench: QueueBench) -> None:
    bench.queue.enqueue(Job(job_id=SONG, callback=CALLBACK))
    (waiting,) = bench.outbox.deliveries(SONG)
    with pytest.raises(CallbackNotReady, match="waiting"):
        bench.outbox.redeliver(waiting.id, job_id=SONG)
    worker = bench.queue.consumer("w1")
    payload = worker.take(timeout_s=1)
    assert payload is not None
    worker.fail(worker.claim(Job(job_id=SONG), payload=payload), JobError("oops", "Oops.", ""))
    with pytest.raises(CallbackNotReady, match="skipped"):
        bench.outbox.redeliver(waiting.id, job_id=SONG)
    assert bench.outbox.receive(visibility_s=60) is None


def test_redelivery_through_another_job_is_refused(bench: QueueBench) -> None:
    delivery_id = sent(bench, state="dead")
    for job_id, known in (("b" * 64, delivery_id), (SONG, "msg_" + "0" * 24)):
        with pytest.raises(CallbackNotFound):
            bench.outbox.redeliver(known, job_id=job_id)
    assert bench.outbox.receive(visibility_s=60) is None


def test_dead_deliveries_are_listed_until_redelivered(bench: QueueBench) -> None:
    first, second = sent(bench, state="dead"), sent(bench, state="dead")
    sent(bench, state="delivered")
    assert [each.id for each in bench.outbox.dead()] == [second, first]
    bench.outbox.redeliver(first, job_id=SONG)
    assert [each.id for each in bench.outbox.dead()] == [second]


def test_secret_of_a_callback_is_stored_and_not_shown(bench: QueueBench) -> None:
    bench.push(Job(job_id=SONG, callback=CALLBACK).encode())
    worker = bench.queue.consumer("w1")
    payload = worker.take(timeout_s=1)
    assert payload is not None
    worker.finish(
        worker.claim(Job.decode(payload), payload=payload), Result(model="htdemucs", device="cpu", stems=())
    )
    bench.queue.enqueue(Job(job_id="b" * 64, callback=CALLBACK))
    bench.outbox.add(CALLBACK, job_id=SONG)
    for delivery in (*bench.outbox.deliveries(SONG), *bench.outbox.deliveries("b" * 64)):
        assert delivery.secret == SECRET
        assert SECRET not in repr(delivery)
    assert SECRET not in repr(CALLBACK)


def test_message_with_an_invalid_secret_is_a_job() -> None:
    for secret in ("?", 7, "c2hvcnQ="):
        callback = {"url": "http://there/", "secret": secret}
        message = json.dumps({"songhash": SONG, "callback": callback})
        assert Job.decode(message.encode()) == Job(job_id=SONG, callback=Callback("http://there/"))


@pytest.mark.parametrize(
    "text", [SECRET, SECRET.removeprefix("whsec_"), "A" * 86, "whsec_" + "A" * 86 + "=="]
)
def test_valid_secrets_are_accepted(text: str) -> None:
    assert parse_webhook_secret(text) == text


@pytest.mark.parametrize(
    "text", ["", "whsec_", "c2hvcnQ=", "A" * 88, "not base64 at all, but long enough", "ä" * 32]
)
def test_invalid_or_short_secrets_are_refused(text: str) -> None:
    with pytest.raises(InvalidCallback) as refused:
        parse_webhook_secret(text)
    assert not text or text not in str(refused.value)


# Limits


def test_job_lists_its_latest_callbacks_only(bench: QueueBench) -> None:
    ids = [sent(bench, state="delivered") for _ in range(MAX_LISTED + 5)]
    assert [each.id for each in bench.outbox.deliveries(SONG)] == ids[5:]


def test_job_has_a_limited_number_of_undelivered_callbacks(bench: QueueBench) -> None:
    for _ in range(MAX_LISTED):
        bench.outbox.add(CALLBACK, job_id=SONG)
    with pytest.raises(TooManyCallbacks):
        bench.outbox.add(CALLBACK, job_id=SONG)
    with pytest.raises(TooManyCallbacks):
        bench.queue.enqueue(Job(job_id=SONG, callback=CALLBACK))
    assert bench.queue.waiting() == []
    assert bench.outbox.add(CALLBACK, job_id="b" * 64)
    delivery = bench.outbox.receive(visibility_s=60)
    assert delivery
    bench.outbox.complete(delivery, state="delivered")
    assert bench.outbox.add(CALLBACK, job_id=SONG)


BIG = Callback("http://there/", data="x" * 60_000)


def test_undelivered_callbacks_of_a_job_have_a_limited_size(bench: QueueBench) -> None:
    for _ in range(POLICY.max_job_callback_bytes // size_of(BIG)):
        bench.outbox.add(BIG, job_id=SONG)
    with pytest.raises(TooManyCallbacks):
        bench.outbox.add(BIG, job_id=SONG)
    assert bench.outbox.add(CALLBACK, job_id=SONG)


def test_all_undelivered_callbacks_have_a_limited_size(small_bench: QueueBench) -> None:
    """Those that wait for their job, are due, or are dead count. A job without a callback is accepted."""
    bench = small_bench
    bench.queue.enqueue(Job(job_id="c" * 64, callback=BIG))
    sent_big = bench.outbox.add(BIG, job_id="d" * 64)
    delivery = bench.outbox.receive(visibility_s=60)
    assert delivery
    bench.outbox.complete(delivery, state="dead")
    bench.outbox.add(BIG, job_id="e" * 64)
    with pytest.raises(QueueFull, match="without a callback"):
        bench.outbox.add(BIG, job_id=SONG)
    with pytest.raises(QueueFull):
        bench.queue.enqueue(Job(job_id=SONG, callback=BIG))
    bench.queue.enqueue(Job(job_id=SONG))
    bench.outbox.redeliver(sent_big, job_id="d" * 64)
    for _ in range(2):
        delivery = bench.outbox.receive(visibility_s=60)
        assert delivery
        bench.outbox.complete(delivery, state="delivered")
    for _ in range(2):
        bench.outbox.add(BIG, job_id=SONG)
    with pytest.raises(QueueFull):
        bench.outbox.add(BIG, job_id=SONG)


def test_callback_of_a_message_beyond_the_limit_is_refused_and_its_job_runs(small_bench: QueueBench) -> None:
    bench = small_bench
    for _ in range(3):
        bench.outbox.add(BIG, job_id="b" * 64)
    bench.push(Job(job_id=SONG, callback=BIG).encode())
    worker = bench.queue.consumer("w1")
    worker.finish(claim_next(worker), RESULT)
    assert state(bench.queue) is JobState.DONE
    (refused,) = bench.outbox.deliveries(SONG)
    assert (refused.state, refused.detail) == ("refused", "Too many callbacks wait already.")


def test_forgotten_callbacks_no_longer_count(redis_server: RedisServer) -> None:
    redis, keys = redis_server.client(), Keys()
    outbox = RedisOutbox(redis_server.address, policy=SMALL)
    for _ in range(3):
        outbox.add(BIG, job_id="b" * 64)
    for member, score in redis.zrange(keys.held, 0, -1, withscores=True):
        redis.zadd(keys.held, {member: score - SMALL.job_ttl_s - 1})
    assert outbox.add(BIG, job_id=SONG)
    assert redis.get(keys.held_bytes) == str(size_of(BIG)).encode()


def test_dead_deliveries_are_limited_in_number(redis_server: RedisServer) -> None:
    outbox = RedisOutbox(redis_server.address, policy=POLICY)
    for _ in range(POLICY.max_dead + 3):
        outbox.add(CALLBACK, job_id=SONG)
        delivery = outbox.receive(visibility_s=60)
        assert delivery
        outbox.complete(delivery, state="dead")
    assert len(outbox.dead()) == POLICY.max_dead


def test_every_key_of_an_ended_job_expires(redis_server: RedisServer) -> None:
    """Only capped lists and the names of workers are left."""
    redis = redis_server.client()
    queue = RedisQueue(redis_server.address, policy=POLICY)
    outbox = RedisOutbox(redis_server.address, policy=POLICY)
    worker = queue.consumer("w1")
    for number, song in enumerate(("a" * 64, "b" * 64, "c" * 64)):
        queue.enqueue(Job(job_id=song, callback=CALLBACK))
        payload = worker.take(timeout_s=1)
        assert payload is not None
        claim = worker.claim(Job.decode(payload), payload=payload)
        if number:
            worker.finish(claim, Result(model="htdemucs", device="cpu", stems=()))
        else:
            worker.fail(claim, JobError("oops", "Oops.", ""))
        while delivery := outbox.receive(visibility_s=60):
            outbox.complete(delivery, state="delivered" if number == 1 else "dead")
    lasting = {key.decode() for key in redis.scan_iter() if redis.ttl(key) < 0}
    assert lasting == {"toWorkers:workers", "toWorkers:outbox:dead", "toWorkers:history"}
    assert all(0 < redis.ttl(key) <= POLICY.job_ttl_s for key in redis.scan_iter("*:delivery:*"))
    assert all(0 < redis.ttl(key) <= POLICY.job_ttl_s for key in redis.scan_iter("job:*"))
