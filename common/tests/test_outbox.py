"""A callback that was given up is listed, can be sent once more, and is forgotten in the end."""

import json

import pytest

from common.tests.backends import POLICY, QueueBench
from msaas.errors import CallbackNotFound, CallbackNotReady, InvalidCallback
from msaas.jobs import Callback, Job, JobError
from msaas.queue import MAX_LISTED, Result
from msaas.redis_outbox import RedisOutbox
from msaas.redis_queue import RedisQueue
from msaas.webhook_secrets import parse_webhook_secret
from tests.servers import RedisServer

SONG = "a" * 64
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CALLBACK = Callback("http://there/", data={"n": 1}, secret=SECRET)


def sent(bench: QueueBench, *, state: str) -> str:
    """Return a delivery that was tried once and ended so."""
    delivery_id = bench.outbox.add(CALLBACK, job_id=SONG)
    due = bench.outbox.due(visibility_s=60)
    assert due
    bench.outbox.settle(due, state=state, detail="why")
    return delivery_id


@pytest.mark.parametrize("state", ["dead", "refused", "delivered"])
def test_what_has_ended_can_be_sent_once_more_under_its_id(bench: QueueBench, state: str) -> None:
    delivery_id = sent(bench, state=state)
    again = bench.outbox.redeliver(delivery_id, job_id=SONG)
    assert (again.id, again.state, again.attempts, again.detail) == (delivery_id, "pending", 0, "")
    due = bench.outbox.due(visibility_s=60)
    assert due is not None
    assert (due.id, due.attempts, due.body) == (delivery_id, 1, b'{"n": 1}')
    assert bench.outbox.due(visibility_s=60) is None


def test_what_would_be_tried_later_can_be_sent_now(bench: QueueBench) -> None:
    delivery_id = bench.outbox.add(CALLBACK, job_id=SONG)
    due = bench.outbox.due(visibility_s=60)
    assert due
    bench.outbox.again(due, delay_s=3600)
    (waiting,) = bench.outbox.deliveries(SONG)
    assert waiting.due_at is not None
    bench.outbox.redeliver(delivery_id, job_id=SONG)
    assert bench.outbox.due(visibility_s=60)


@pytest.mark.parametrize("attempts", [1, 2])
def test_what_is_asked_for_while_an_attempt_is_under_way_is_sent_after_it(
    bench: QueueBench, attempts: int
) -> None:
    delivery_id = bench.outbox.add(CALLBACK, job_id=SONG)
    for _ in range(attempts):
        under_way = bench.outbox.due(visibility_s=60)
        bench.pass_time(61)
    assert under_way
    bench.outbox.redeliver(delivery_id, job_id=SONG)
    bench.outbox.settle(under_way, state="delivered")
    (waiting,) = bench.outbox.deliveries(SONG)
    assert waiting.state == "pending"
    due = bench.outbox.due(visibility_s=60)
    assert due
    assert (due.id, due.attempts) == (delivery_id, 1)
    bench.outbox.settle(due, state="delivered")
    assert bench.outbox.due(visibility_s=60) is None


def test_what_has_nothing_to_tell_yet_is_not_sent(bench: QueueBench) -> None:
    bench.queue.enqueue(Job(SONG, callback=CALLBACK))
    (waiting,) = bench.outbox.deliveries(SONG)
    with pytest.raises(CallbackNotReady, match="waiting"):
        bench.outbox.redeliver(waiting.id, job_id=SONG)
    worker = bench.queue.consumer("w1")
    payload = worker.take(timeout_s=1)
    assert payload is not None
    worker.fail(worker.claim(Job(SONG), payload=payload), JobError("oops", "Oops.", ""))
    with pytest.raises(CallbackNotReady, match="skipped"):
        bench.outbox.redeliver(waiting.id, job_id=SONG)
    assert bench.outbox.due(visibility_s=60) is None


def test_a_callback_belongs_to_its_job(bench: QueueBench) -> None:
    delivery_id = sent(bench, state="dead")
    for job_id, known in (("b" * 64, delivery_id), (SONG, "msg_" + "0" * 24)):
        with pytest.raises(CallbackNotFound):
            bench.outbox.redeliver(known, job_id=job_id)
    assert bench.outbox.due(visibility_s=60) is None


def test_the_dead_are_listed_until_they_are_sent_once_more(bench: QueueBench) -> None:
    first, second = sent(bench, state="dead"), sent(bench, state="dead")
    sent(bench, state="delivered")
    assert [each.id for each in bench.outbox.dead()] == [second, first]
    bench.outbox.redeliver(first, job_id=SONG)
    assert [each.id for each in bench.outbox.dead()] == [second]


def test_a_secret_of_its_own_goes_with_a_callback_and_is_never_shown(bench: QueueBench) -> None:
    bench.push(Job(SONG, callback=CALLBACK).encode())
    worker = bench.queue.consumer("w1")
    payload = worker.take(timeout_s=1)
    assert payload is not None
    worker.finish(worker.claim(Job.decode(payload), payload=payload), Result("htdemucs", "cpu", ()))
    bench.queue.enqueue(Job("b" * 64, callback=CALLBACK))
    bench.outbox.add(CALLBACK, job_id=SONG)
    for delivery in (*bench.outbox.deliveries(SONG), *bench.outbox.deliveries("b" * 64)):
        assert delivery.secret == SECRET
        assert SECRET not in repr(delivery)
    assert SECRET not in repr(CALLBACK)


def test_a_message_with_a_secret_that_cannot_sign_is_a_job_all_the_same() -> None:
    for secret in ("?", 7, "c2hvcnQ="):
        callback = {"url": "http://there/", "secret": secret}
        message = json.dumps({"songhash": SONG, "callback": callback})
        assert Job.decode(message.encode()) == Job(SONG, callback=Callback("http://there/"))


@pytest.mark.parametrize(
    "text", [SECRET, SECRET.removeprefix("whsec_"), "A" * 86, "whsec_" + "A" * 86 + "=="]
)
def test_what_can_sign_is_a_secret(text: str) -> None:
    assert parse_webhook_secret(text) == text


@pytest.mark.parametrize(
    "text", ["", "whsec_", "c2hvcnQ=", "A" * 88, "not base64 at all, but long enough", "ä" * 32]
)
def test_what_cannot_sign_or_can_be_guessed_is_none(text: str) -> None:
    with pytest.raises(InvalidCallback) as refused:
        parse_webhook_secret(text)
    assert not text or text not in str(refused.value)


# What grows


def test_a_job_shows_its_latest_callbacks_only(bench: QueueBench) -> None:
    ids = [bench.outbox.add(CALLBACK, job_id=SONG) for _ in range(MAX_LISTED + 5)]
    assert [each.id for each in bench.outbox.deliveries(SONG)] == ids[5:]


def test_the_dead_are_few(redis_server: RedisServer) -> None:
    outbox = RedisOutbox(redis_server.address, policy=POLICY)
    for _ in range(POLICY.max_dead + 3):
        outbox.add(CALLBACK, job_id=SONG)
        due = outbox.due(visibility_s=60)
        assert due
        outbox.settle(due, state="dead")
    assert len(outbox.dead()) == POLICY.max_dead


def test_every_trace_of_an_ended_job_is_forgotten_in_time(redis_server: RedisServer) -> None:
    """Nothing is left but lists that are capped and the names of workers."""
    redis = redis_server.client()
    queue = RedisQueue(redis_server.address, policy=POLICY)
    outbox = RedisOutbox(redis_server.address, policy=POLICY)
    worker = queue.consumer("w1")
    for number, song in enumerate(("a" * 64, "b" * 64, "c" * 64)):
        queue.enqueue(Job(song, callback=CALLBACK))
        payload = worker.take(timeout_s=1)
        assert payload is not None
        claim = worker.claim(Job.decode(payload), payload=payload)
        if number:
            worker.finish(claim, Result("htdemucs", "cpu", ()))
        else:
            worker.fail(claim, JobError("oops", "Oops.", ""))
        while due := outbox.due(visibility_s=60):
            outbox.settle(due, state="delivered" if number == 1 else "dead")
    lasting = {key.decode() for key in redis.scan_iter() if redis.ttl(key) < 0}
    assert lasting == {"toWorkers:workers", "toWorkers:outbox:dead"}
    assert all(0 < redis.ttl(key) <= POLICY.job_ttl_s for key in redis.scan_iter("*:delivery:*"))
    assert all(0 < redis.ttl(key) <= POLICY.job_ttl_s for key in redis.scan_iter("job:*"))
