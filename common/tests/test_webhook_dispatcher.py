"""The dispatcher takes due deliveries from the outbox, sends them, and retries with growing delays."""

import threading
import time
from collections.abc import Mapping
from functools import partial
from ipaddress import ip_network

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from structlog.testing import capture_logs

from common.tests.backends import QueueBench
from msaas.background import Tasks
from msaas.errors import QueueUnavailable
from msaas.jobs import Callback
from msaas.queue.memory import InMemoryOutbox
from msaas.queue.outbox import Delivery, Outbox
from msaas.queue.redis.clients import RedisAddress
from msaas.queue.redis.outbox import RedisOutbox
from msaas.webhooks.dispatcher import BACKOFF_S, Dispatcher
from msaas.webhooks.sender import (
    CallbackFailed,
    CallbackRefused,
    CallbackRejected,
    CallbackUnwanted,
    post,
)
from tests.receiver import Receiver, status
from tests.servers import RedisServer, wait_until

LOOPBACK = [ip_network("127.0.0.0/8"), ip_network("::1/128")]
OWN_SECRET, SECRET_OF_REQUEST = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB"
URL = "http://there/"


@pytest.fixture
def outbox(bench: QueueBench) -> Outbox:
    return bench.outbox


class Scripted:
    """Implements `Send`: raises the errors of its script in turn, then succeeds. Keeps the last headers."""

    def __init__(self, *script: Exception | None) -> None:
        self._script = list(script)
        self.headers: Mapping[str, str] = {}

    def __call__(self, url: str, body: bytes, *, headers: Mapping[str, str]) -> None:
        self.headers = headers
        if self._script and (error := self._script.pop(0)):
            raise error


def dispatcher_of(
    outbox: Outbox, *script: Exception | None, backoff_s: tuple[float, ...] = BACKOFF_S
) -> Dispatcher:
    return Dispatcher(outbox=outbox, send=Scripted(*script), backoff_s=backoff_s)


def delivery_of(outbox: Outbox, job_id: str = "song") -> Delivery:
    (delivery,) = outbox.deliveries(job_id)
    return delivery


# States


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (None, "delivered"),
        (CallbackRefused("private"), "refused"),
        (CallbackFailed("HTTP 500"), "pending"),
        (CallbackRejected("HTTP 404"), "pending"),
        (CallbackUnwanted("HTTP 410"), "dead"),
    ],
)
def test_state_follows_from_the_attempt(outcome: Exception | None, state: str, outbox: Outbox) -> None:
    outbox.add(Callback(URL, {"a": 1}), job_id="song")
    assert dispatcher_of(outbox, outcome).deliver_next()
    delivery = delivery_of(outbox)
    assert (delivery.state, delivery.detail) == (state, str(outcome) if outcome else "")


def test_nothing_due_is_nothing_sent(outbox: Outbox) -> None:
    assert not dispatcher_of(outbox).deliver_next()


def test_failed_callback_is_not_due_at_once(outbox: Outbox) -> None:
    outbox.add(Callback(URL), job_id="song")
    dispatcher = dispatcher_of(outbox, CallbackFailed("HTTP 500"))
    assert dispatcher.deliver_next()
    assert not dispatcher.deliver_next()


def test_callback_that_always_fails_is_dead_with_its_last_reason(outbox: Outbox) -> None:
    outbox.add(Callback(URL), job_id="song")
    dispatcher_of(outbox, *[CallbackFailed("HTTP 500")] * 3, backoff_s=(0, 0)).deliver_all()
    delivery = delivery_of(outbox)
    assert (delivery.state, delivery.attempts, delivery.detail) == ("dead", 3, "HTTP 500")
    assert [each.id for each in outbox.dead()] == [delivery.id]


def test_all_attempts_have_one_id(outbox: Outbox) -> None:
    added = outbox.add(Callback(URL), job_id="song")
    dispatcher_of(outbox, *[CallbackFailed("HTTP 500")] * 2, backoff_s=(0, 0, 0)).deliver_all()
    delivery = delivery_of(outbox)
    assert (delivery.id, delivery.state, delivery.attempts) == (added, "delivered", 3)


@pytest.mark.parametrize("code", [404, 405])
def test_rejected_callback_is_dead_after_three_attempts(code: int, outbox: Outbox) -> None:
    outbox.add(Callback(URL), job_id="song")
    error = CallbackRejected(f"HTTP {code}")
    dispatcher_of(outbox, *[error] * 9, backoff_s=(0,) * 9).deliver_all()
    delivery = delivery_of(outbox)
    assert (delivery.state, delivery.attempts, delivery.detail) == ("dead", 3, f"HTTP {code}")


def test_unwanted_callback_is_dead_at_once(outbox: Outbox) -> None:
    outbox.add(Callback(URL), job_id="song")
    dispatcher_of(outbox, CallbackUnwanted("HTTP 410"), backoff_s=(0,) * 9).deliver_all()
    delivery = delivery_of(outbox)
    assert (delivery.state, delivery.attempts) == ("dead", 1)


# Backoff


def test_delays_are_those_of_standard_webhooks(bench: QueueBench) -> None:
    """5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h, each 20 % shorter or longer at most."""
    outbox = bench.outbox
    outbox.add(Callback(URL), job_id="song")
    dispatcher = dispatcher_of(outbox, *[CallbackFailed("HTTP 500")] * 10)
    for expected_s in (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400):
        assert dispatcher.deliver_next()
        bench.pass_time(0.79 * expected_s)
        assert not dispatcher.deliver_next()
        bench.pass_time(0.42 * expected_s)
    assert dispatcher.deliver_next()
    delivery = delivery_of(outbox)
    assert (delivery.state, delivery.attempts, delivery.detail) == ("dead", 10, "HTTP 500")


def test_callbacks_that_failed_together_are_due_at_different_times() -> None:
    outbox = InMemoryOutbox(clock=lambda: 1000.0)
    for _ in range(20):
        outbox.add(Callback(URL), job_id="song")
        dispatcher_of(outbox, CallbackFailed("HTTP 500")).deliver_next()
    due = [each.due_at or 0 for each in outbox.deliveries("song")]
    assert max(due) - min(due) > 0.5


@pytest.mark.parametrize(
    ("asked_s", "due_in_s"),
    [(0, 5), (3, 5), (60, 60), (3600, 3600)],
    ids=["none", "sooner", "later", "longest"],
)
def test_delay_that_the_receiver_asks_for_is_honoured(asked_s: float, due_in_s: float) -> None:
    outbox = InMemoryOutbox(clock=lambda: 1000.0)
    outbox.add(Callback(URL), job_id="song")
    dispatcher_of(outbox, CallbackFailed("HTTP 429", retry_after_s=asked_s)).deliver_next()
    due_at = delivery_of(outbox).due_at
    assert due_at is not None
    assert 0.8 * due_in_s <= due_at - 1000 <= 1.2 * due_in_s


# Several dispatchers


def race(outbox: Outbox, *dispatchers: Dispatcher) -> None:
    """Let the dispatchers take deliveries at the same time, each in a thread of its own."""
    start = threading.Barrier(len(dispatchers))

    def deliver(dispatcher: Dispatcher) -> None:
        start.wait(10)
        dispatcher.deliver_all()

    threads = [threading.Thread(target=deliver, args=(each,)) for each in dispatchers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


def test_racing_dispatchers_send_each_callback_once(outbox: Outbox) -> None:
    sent: list[str] = []

    def send(url: str, body: bytes, *, headers: Mapping[str, str]) -> None:
        sent.append(url)

    for number in range(40):
        outbox.add(Callback(f"http://there/{number}"), job_id="song")
    first_only = Dispatcher(outbox=outbox, send=send, first_attempts_only=True)
    race(outbox, Dispatcher(outbox=outbox, send=send), first_only, Dispatcher(outbox=outbox, send=send))
    assert sorted(sent) == sorted(f"http://there/{number}" for number in range(40))
    assert {each.attempts for each in outbox.deliveries("song")} == {1}


def test_first_attempts_only_leaves_further_attempts_to_others(outbox: Outbox) -> None:
    outbox.add(Callback(URL), job_id="song")
    worker = Dispatcher(
        outbox=outbox, send=Scripted(CallbackFailed("HTTP 500")), backoff_s=(0, 0), first_attempts_only=True
    )
    worker.deliver_all()
    assert (delivery_of(outbox).state, delivery_of(outbox).attempts) == ("pending", 1)
    dispatcher_of(outbox).deliver_all()
    assert (delivery_of(outbox).state, delivery_of(outbox).attempts) == ("delivered", 2)


def test_first_attempts_are_found_behind_many_further_ones(bench: QueueBench) -> None:
    outbox = bench.outbox
    for number in range(120):
        outbox.add(Callback(f"http://dead/{number}"), job_id=f"dead-{number // 60}")
    dispatcher_of(outbox, *[CallbackFailed("HTTP 500")] * 120).deliver_all()
    bench.pass_time(10)
    outbox.add(Callback(URL), job_id="song")
    worker = Dispatcher(outbox=outbox, send=Scripted(), first_attempts_only=True)
    assert worker.deliver_next()
    assert delivery_of(outbox).state == "delivered"


def test_delivery_of_a_dead_dispatcher_is_due_after_its_visibility_timeout(bench: QueueBench) -> None:
    outbox = bench.outbox
    outbox.add(Callback(URL), job_id="song")
    assert outbox.receive(visibility_s=30)
    assert not dispatcher_of(outbox).deliver_next()
    bench.pass_time(31)
    assert dispatcher_of(outbox).deliver_next()
    assert (delivery_of(outbox).state, delivery_of(outbox).attempts) == ("delivered", 2)


# Errors of our own


def test_callback_that_crashes_the_sender_is_retried(outbox: Outbox) -> None:
    outbox.add(Callback(URL), job_id="poison")
    with capture_logs() as lines:
        dispatcher_of(outbox, ZeroDivisionError()).deliver_next()
    poison = delivery_of(outbox, "poison")
    assert (poison.state, poison.detail) == ("pending", "The attempt failed (ZeroDivisionError).")
    [line] = [each for each in lines if each["event"] == "webhook_crashed"]
    assert (line["log_level"], line["job_id"], line["exc_info"]) == ("error", "poison", True)


@pytest.fixture
def stopping() -> "threading.Event":
    return threading.Event()


def run_as_task(dispatcher: Dispatcher, stopping: threading.Event) -> None:
    Tasks(stopping).every(0.01, dispatcher.deliver_all, name="webhooks")


def test_unreadable_delivery_stops_no_other(
    redis_address: RedisAddress, redis_server: RedisServer, stopping: threading.Event
) -> None:
    outbox, redis = RedisOutbox(redis_address), redis_server.client()
    outbox.add(Callback(URL), job_id="broken")
    [key] = redis.scan_iter("*:delivery:*")
    redis.hdel(key, "url")
    run_as_task(dispatcher_of(outbox), stopping)
    try:
        wait_until(lambda: redis.hget(key, "attempts") == b"1")
        outbox.add(Callback(URL), job_id="whole")
        wait_until(lambda: delivery_of(outbox, "whole").state == "delivered")
    finally:
        stopping.set()


def test_unavailable_outbox_stops_no_task(stopping: threading.Event) -> None:
    outbox = InMemoryOutbox()
    outbox.away = True
    with pytest.raises(QueueUnavailable):
        dispatcher_of(outbox).deliver_next()
    run_as_task(dispatcher_of(outbox), stopping)
    try:
        outbox.away = False
        outbox.add(Callback(URL), job_id="song")
        wait_until(lambda: delivery_of(outbox).state == "delivered")
    finally:
        stopping.set()


# Logs


def log_of(outbox: Outbox, *script: Exception | None) -> list[tuple[str, str, int]]:
    """Return level, event and attempt of the lines of a callback."""
    outbox.add(Callback(URL), job_id="song")
    with capture_logs() as lines:
        dispatcher_of(outbox, *script, backoff_s=(0, 0)).deliver_all()
    assert {line["job_id"] for line in lines} == {"song"}
    assert len({line["delivery_id"] for line in lines}) == 1
    return [(line["log_level"], line["event"], line["attempt"]) for line in lines]


def test_first_failed_attempt_is_one_info_line() -> None:
    failed = CallbackFailed("HTTP 500")
    assert log_of(InMemoryOutbox(), failed, failed) == [
        ("info", "webhook_failed", 1),
        ("debug", "webhook_failed", 2),
        ("info", "webhook_delivered", 3),
    ]


def test_dead_callback_is_a_warning_and_a_refused_one_is_info() -> None:
    assert log_of(InMemoryOutbox(), CallbackUnwanted("HTTP 410")) == [("warning", "webhook_dead", 1)]
    assert log_of(InMemoryOutbox(), CallbackRefused("private")) == [("info", "webhook_refused", 1)]


def test_job_is_named_after_a_delivery() -> None:
    outbox, delivered = InMemoryOutbox(), list[str]()
    outbox.add(Callback(URL), job_id="song")
    Dispatcher(outbox=outbox, send=Scripted(), on_delivered=delivered.append).deliver_all()
    assert delivered == ["song"]


# Signatures


@pytest.mark.parametrize("secret", [None, OWN_SECRET])
def test_receiver_can_verify_the_sender(secret: str | None) -> None:
    outbox = InMemoryOutbox()
    with Receiver([status(200)]) as receiver:
        added = outbox.add(Callback(receiver.url, {"a": "ä"}), job_id="song")
        Dispatcher(outbox=outbox, send=partial(post, private=LOOPBACK), secret=secret).deliver_next()
    [received] = receiver.received
    assert received.headers["webhook-id"] == added
    assert abs(int(received.headers["webhook-timestamp"]) - time.time()) < 5
    if secret:
        assert Webhook(secret).verify(received.body, received.headers) == {"a": "ä"}
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(received.body + b" ", received.headers)
    else:
        assert "webhook-signature" not in received.headers


@pytest.mark.parametrize(
    ("secret", "signs"),
    [(None, OWN_SECRET), (SECRET_OF_REQUEST, SECRET_OF_REQUEST)],
    ids=["own", "of request"],
)
def test_secret_of_a_request_replaces_that_of_the_service(
    secret: str | None, signs: str, outbox: Outbox
) -> None:
    outbox.add(Callback(URL, {"a": 1}, secret), job_id="song")
    send = Scripted()
    Dispatcher(outbox=outbox, send=send, secret=OWN_SECRET).deliver_next()
    assert Webhook(signs).verify(b'{"a": 1}', dict(send.headers)) == {"a": 1}
