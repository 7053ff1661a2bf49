"""Whatever receivers, resolvers and URLs try: an attempt ends in its time, reads little, kills no thread."""

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from msaas.errors import QueueUnavailable
from msaas.jobs import Callback
from msaas.queue.memory import InMemoryOutbox
from msaas.queue.protocol import Outbox
from msaas.queue.redis.clients import RedisAddress
from msaas.queue.redis.outbox import RedisOutbox
from msaas.webhooks.dispatcher import Dispatcher
from msaas.webhooks.sender import CallbackFailed, CallbackRefused, CallbackUnwanted, post
from msaas.webhooks.ssrf_guard import is_allowed
from msaas_worker import callbacks, destinations, postman
from msaas_worker.settings import WorkerSettings
from tests.servers import wait_until

LOOPBACK = [ip_network("127.0.0.0/8")]
OWN_SECRET, REQUESTS_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB"


@contextmanager
def speaking(speak: Callable[[socket.socket], None]) -> Iterator[str]:
    """A receiver that is no HTTP server at all; yields its URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.recv(65536)
                    speak(connection)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.close()


class Counted:
    """Sends without end, and counts what the other side's kernel took."""

    def __init__(self, *, start: bytes, retry_later: bytes) -> None:
        self.sent_bytes = 0
        self._start, self._again = start, retry_later

    def __call__(self, connection: socket.socket) -> None:
        connection.sendall(self._start)
        while True:
            self.sent_bytes += connection.send(self._again * 1000)


# Time and size


def test_interim_answers_without_end_are_no_delivery_and_read_for_a_moment_only() -> None:
    endless = Counted(start=b"", retry_later=b"HTTP/1.1 100 Continue\r\n\r\n")
    began = time.monotonic()
    with speaking(endless) as url, pytest.raises(CallbackFailed):
        post(url, b"{}", private=LOOPBACK, attempt_s=10)
    assert time.monotonic() - began < 5


def test_headers_without_end_are_read_for_8_kib_only(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    original = socket.SocketIO.readinto

    def counting(self: socket.SocketIO, buffer: Any) -> int | None:
        read.append(original(self, buffer) or 0)
        return read[-1]

    monkeypatch.setattr(socket.SocketIO, "readinto", counting)
    with speaking(Counted(start=b"HTTP/1.1 200 OK\r\n", retry_later=b"X: " + b"y" * 500 + b"\r\n")) as url:
        post(url, b"{}", private=LOOPBACK, attempt_s=10)
    assert 0 < sum(read) <= 8 * 1024


def test_what_was_taken_stays_taken_however_the_answer_goes_on() -> None:
    """A second delivery of what was answered with 2xx would be one too many."""
    with speaking(lambda it: it.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nno more")) as url:
        post(url, b"{}", private=LOOPBACK)


def test_what_only_looks_like_an_answer_when_the_time_is_over_is_none() -> None:
    def half_an_answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Half: ")
        # The request's body may come after its head; then nothing, until the other side lets go.
        while connection.recv(65536):
            pass

    with speaking(half_an_answer) as url, pytest.raises(CallbackFailed, match="No answer within"):
        post(url, b"{}", private=LOOPBACK, attempt_s=0.5)


def test_a_resolver_that_never_answers_ends_the_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destinations, "_RESOLVE_S", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(5))
    began = time.monotonic()
    with pytest.raises(CallbackFailed):
        post("http://slow.example/", b"{}")
    assert time.monotonic() - began < 2


def test_of_a_hundred_addresses_few_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Any] = []

    def connect(self: socket.socket, address: Any) -> None:
        tried.append(address)
        raise TimeoutError

    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"93.184.216.{last}", 80)) for last in range(100)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(CallbackFailed):
        post("http://many.example/", b"{}")
    assert len(tried) == 3


def test_resolving_and_connecting_leave_time_for_the_answer() -> None:
    longest_s = destinations._RESOLVE_S + destinations._MAX_TARGETS * postman._CONNECT_S
    assert longest_s < postman._ATTEMPT_S < callbacks._VISIBILITY_S


def test_a_connection_made_when_the_time_is_over_is_cut_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    original = socket.getaddrinfo

    def slow(*args: Any, **kwargs: Any) -> Any:
        time.sleep(1.0)
        return original(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    began = time.monotonic()
    with speaking(lambda _: time.sleep(8)) as url, pytest.raises(CallbackFailed):
        post(url, b"{}", private=LOOPBACK, attempt_s=0.3)
    assert time.monotonic() - began < 4


# Places


@pytest.mark.parametrize(
    "address",
    [
        "2002:5db8:d822::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "192.88.99.1",
        "::ffff:0:8.8.8.8",
        "::8.8.8.8",
        "64:ff9b:1::8.8.8.8",
        "64:ff9b::10.0.0.1",
        "100.64.0.1",
        "3fff::1",
        "5f00::1",
        "4000::1",
        "fec0::1",
        "ff0e::1",
    ],
)
def test_what_only_stands_for_a_public_address_is_refused(address: str) -> None:
    assert not is_allowed(ipaddress.ip_address(address), ())


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254"])
def test_both_schemes_are_guarded(scheme: str, host: str) -> None:
    with pytest.raises(CallbackRefused, match="private"):
        post(f"{scheme}://{host}/", b"{}")


@pytest.mark.parametrize(
    ("setting", "allowed", "refused"),
    [
        ("1", ["10.0.0.1", "127.0.0.1", "::1", "fd00::1", "64:ff9b:1::1"], []),
        ("0", [], ["10.0.0.1", "::1"]),
        ("10.0.0.0/8, fd00::/8", ["10.1.2.3", "fd00::1", "::ffff:10.1.2.3"], ["127.0.0.1", "::1"]),
    ],
)
def test_private_networks_are_opened_by_name(setting: str, allowed: list[str], refused: list[str]) -> None:
    networks = WorkerSettings(callback_allow_private=setting).callback_allow_private  # type: ignore[arg-type]
    for address in allowed:
        assert is_allowed(ipaddress.ip_address(address), networks)
    for address in refused:
        assert not is_allowed(ipaddress.ip_address(address), networks)


@settings(max_examples=200)
@given(st.one_of(st.text(max_size=40), st.text(max_size=40).map(lambda text: f"http://{text}")))
def test_whatever_the_url_is_an_attempt_ends_with_a_name(url: str) -> None:
    original = socket.socket.connect
    socket.socket.connect = _no_network  # type: ignore[method-assign]
    try:
        with pytest.raises((CallbackRefused, CallbackFailed)) as ended:
            post(url, b"{}")
        assert len(url) < 5 or url not in str(ended.value)
    finally:
        socket.socket.connect = original  # type: ignore[method-assign]


def _no_network(*_: object) -> None:
    raise OSError("no network here")


# The courier


@pytest.fixture
def outbox(redis_address: RedisAddress) -> RedisOutbox:
    return RedisOutbox(redis_address)


class Raising:
    """A post that ends so, and keeps the headers it was given."""

    def __init__(self, error: Exception | None) -> None:
        self._error = error
        self.headers: Mapping[str, str] = {}

    def __call__(self, url: str, body: bytes, *, headers: Mapping[str, str]) -> None:
        self.headers = headers
        if self._error:
            raise self._error


def deliver(outbox: Outbox, post: Raising) -> Dispatcher:
    courier = Dispatcher(outbox, post, threading.Event(), OWN_SECRET)
    assert courier.deliver_next()
    return courier


def test_410_is_the_last_word(outbox: RedisOutbox) -> None:
    outbox.add(Callback("http://there/"), job_id="song")
    deliver(outbox, Raising(CallbackUnwanted("HTTP 410")))
    assert [(each.state, each.attempts) for each in outbox.dead()] == [("dead", 1)]


def test_410_is_told_from_other_failures() -> None:
    with speaking(lambda it: it.sendall(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n")) as url:
        with pytest.raises(CallbackUnwanted):
            post(url, b"{}", private=LOOPBACK)


def test_a_callback_is_tried_for_days_as_standard_webhooks_has_it(outbox: RedisOutbox) -> None:
    """5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h, each a fifth more or less."""
    outbox.add(Callback("http://there/"), job_id="song")
    waits = []
    for _ in range(9):
        deliver(outbox, Raising(CallbackFailed("HTTP 500")))
        (delivery,) = outbox.deliveries("song")
        assert delivery.due_at is not None
        waits.append(delivery.due_at - time.time())
        outbox.retry_later(delivery, delay_s=0)
    for wait_s, expected_s in zip(
        waits, (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400), strict=True
    ):
        assert 0.75 * expected_s - 1 < wait_s < 1.25 * expected_s
    deliver(outbox, Raising(CallbackFailed("HTTP 500")))
    assert [(each.state, each.attempts, each.detail) for each in outbox.dead()] == [("dead", 10, "HTTP 500")]


def test_callbacks_that_failed_together_do_not_come_again_together() -> None:
    outbox = InMemoryOutbox(clock=lambda: 1000.0)
    for _ in range(20):
        outbox.add(Callback("http://there/"), job_id="song")
        deliver(outbox, Raising(CallbackFailed("HTTP 500")))
    delivery = [each.due_at or 0 for each in outbox.deliveries("song")]
    assert max(delivery) - min(delivery) > 0.5


def test_the_secret_of_a_request_signs_in_place_of_the_services_own(outbox: RedisOutbox) -> None:
    for secret, signs in ((None, OWN_SECRET), (REQUESTS_SECRET, REQUESTS_SECRET)):
        outbox.add(Callback("http://there/", {"a": 1}, secret), job_id="song")
        deliver(outbox, posted := Raising(None))
        assert Webhook(signs).verify(b'{"a": 1}', dict(posted.headers)) == {"a": 1}


def test_a_callback_that_breaks_the_courier_is_tried_later_and_others_are_sent(outbox: RedisOutbox) -> None:
    outbox.add(Callback("http://there/"), job_id="poison")
    deliver(outbox, Raising(ZeroDivisionError()))
    (poison,) = outbox.deliveries("poison")
    assert (poison.state, poison.detail) == ("pending", "ZeroDivisionError")


def test_an_outbox_that_cannot_be_read_ends_no_thread(outbox: RedisOutbox, redis_server: Any) -> None:
    redis = redis_server.client()
    outbox.add(Callback("http://there/"), job_id="broken")
    for key in redis.scan_iter("*:delivery:*"):
        redis.hdel(key, "url")
    courier = Dispatcher(outbox, Raising(None), threading.Event())
    threading.Thread(target=courier.run, daemon=True).start()
    try:
        wait_until(lambda: redis.hget(next(redis.scan_iter("*:delivery:*")), "attempts") == b"1", timeout_s=5)
        outbox.add(Callback("http://there/"), job_id="whole")
        wait_until(lambda: outbox.deliveries("whole")[0].state == "delivered", timeout_s=10)
    finally:
        courier.stopping.set()


def test_an_outbox_that_is_away_ends_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "_IDLE_S", 0.01)
    asked, outbox = threading.Event(), InMemoryOutbox()

    def away(**_: float) -> None:
        asked.set()
        raise QueueUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(outbox, "due", away)
        courier = Dispatcher(outbox, Raising(None), threading.Event())
        threading.Thread(target=courier.run, daemon=True).start()
        assert asked.wait(20)
    try:
        outbox.add(Callback("http://there/"), job_id="song")
        wait_until(lambda: outbox.deliveries("song")[0].state == "delivered")
    finally:
        courier.stopping.set()


def test_four_receivers_that_hang_hold_up_four_callbacks_at_a_time(outbox: RedisOutbox) -> None:
    under_way: list[str] = []
    over = threading.Event()

    def hang(url: str, body: bytes, *, headers: Mapping[str, str]) -> None:
        under_way.append(url)
        over.wait(20)

    for number in range(6):
        outbox.add(Callback(f"http://there/{number}"), job_id="song")
    courier = Dispatcher(outbox, hang, threading.Event())
    courier.start()
    try:
        wait_until(lambda: len(under_way) == 4)
        time.sleep(0.5)
        assert len(under_way) == 4
        over.set()
        wait_until(lambda: {each.state for each in outbox.deliveries("song")} == {"delivered"})
    finally:
        over.set()
        courier.stopping.set()
    assert len(set(under_way)) == 6
