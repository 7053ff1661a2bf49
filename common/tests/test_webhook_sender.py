"""An attempt at a callback ends in its time, reads little, and never reaches a private address."""

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msaas.settings import WebhookSettings
from msaas.webhooks import dispatcher, sender, ssrf_guard
from msaas.webhooks.sender import (
    CallbackFailed,
    CallbackRefused,
    CallbackRejected,
    CallbackUnwanted,
    parse_retry_after,
    post,
)
from msaas.webhooks.ssrf_guard import is_allowed
from tests.receiver import Answer, Receiver, drip, silence, status
from tests.servers import free_port

LOOPBACK = [ip_network("127.0.0.0/8"), ip_network("::1/128")]


@contextmanager
def talking(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """Yield the URL of a receiver that sends these bytes, instead of an HTTP server."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.recv(65536)
                    talk(connection)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.close()


class Endless:
    """Sends without end, and counts the bytes that the kernel of the sender took."""

    def __init__(self, *, start: bytes, repeat: bytes) -> None:
        self.sent_bytes = 0
        self._start, self._repeat = start, repeat

    def __call__(self, connection: socket.socket) -> None:
        connection.sendall(self._start)
        while True:
            self.sent_bytes += connection.send(self._repeat * 1000)


# Answers


@pytest.mark.parametrize("code", [200, 201, 204, 299])
def test_2xx_is_a_success(code: int) -> None:
    with Receiver([status(code)]) as receiver:
        post(receiver.url, b'{"a": 1}', private=LOOPBACK)
    [received] = receiver.received
    assert received.body == b'{"a": 1}'
    assert received.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        *((code, CallbackFailed) for code in (304, 400, 429, 500, 503)),
        *((code, CallbackRejected) for code in (404, 405)),
        (410, CallbackUnwanted),
    ],
)
def test_other_answers_are_failures_of_their_kind(code: int, error: type[Exception]) -> None:
    with Receiver([status(code)]) as receiver, pytest.raises(CallbackFailed) as raised:
        post(receiver.url, b"{}", private=LOOPBACK)
    assert (raised.type, str(raised.value)) == (error, f"The receiver answered HTTP {code}.")


@pytest.mark.parametrize("code", [429, 503])
def test_receiver_may_ask_for_a_delay(code: int) -> None:
    with Receiver([status(code, **{"Retry-After": "120"})]) as receiver:
        with pytest.raises(CallbackFailed) as raised:
            post(receiver.url, b"{}", private=LOOPBACK)
    assert raised.value.retry_after_s == 120


@pytest.mark.parametrize(
    ("text", "delay_s"),
    [
        ("0", 0),
        ("120", 120),
        ("999999999999", 3600),
        ("9" * 5000, 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 100),
        ("Wed, 21 Oct 2015 07:20:00 GMT", 0),
        ("Wed, 21 Oct 2065 07:28:00 GMT", 3600),
        ("", 0),
        ("-5", 0),
        ("1.5", 0),
        ("\u0663", 3),
        ("\u00b2", 0),
        ("Wed, 99 Foo 2015", 0),
        ("Wed, 21 Oct 99999 07:28:00 GMT", 0),
    ],
)
def test_delay_is_seconds_or_a_date_within_an_hour(text: str, delay_s: float) -> None:
    assert parse_retry_after(text, now=1445412380.0) == delay_s


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(code: int) -> None:
    with Receiver() as other, Receiver([status(code, Location=other.url)]) as receiver:
        with pytest.raises(CallbackFailed, match=f"HTTP {code}"):
            post(receiver.url, b"{}", private=LOOPBACK)
    assert other.received == []


def test_closed_port_is_a_failure_that_stands_alone() -> None:
    with pytest.raises(CallbackFailed) as raised:
        post(f"http://127.0.0.1:{free_port()}/hush", b"{}", private=LOOPBACK)
    assert str(raised.value) == "The receiver cannot be reached (ConnectionError)."


def test_silent_receiver_is_a_failure_that_stands_alone() -> None:
    with Receiver([silence]) as receiver, pytest.raises(CallbackFailed) as raised:
        post(receiver.url, b"{}", private=LOOPBACK, read_s=0.2)
    assert str(raised.value) == "The receiver did not answer in time (ReadTimeout)."


def test_2xx_counts_however_its_body_ends() -> None:
    """The receiver has taken the callback: a second one would be one too many."""
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nno more"
    with talking(lambda connection: connection.sendall(cut)) as url:
        post(url, b"{}", private=LOOPBACK)


# Time and size


@pytest.mark.parametrize("answer", [silence, drip])
def test_attempt_ends_with_its_time(answer: Answer) -> None:
    began = time.monotonic()
    with Receiver([answer]) as receiver, pytest.raises(CallbackFailed):
        post(receiver.url, b"{}", private=LOOPBACK, attempt_s=0.5)
    assert time.monotonic() - began < 3


def test_endless_body_is_read_for_8_kib() -> None:
    began = time.monotonic()
    with Receiver() as receiver:
        receiver.answers = [receiver.flood]
        post(receiver.url, b"{}", private=LOOPBACK)
    assert time.monotonic() - began < 3


def test_endless_interim_answers_are_a_failure() -> None:
    endless = Endless(start=b"", repeat=b"HTTP/1.1 100 Continue\r\n\r\n")
    began = time.monotonic()
    with talking(endless) as url, pytest.raises(CallbackFailed):
        post(url, b"{}", private=LOOPBACK, attempt_s=10)
    assert time.monotonic() - began < 5


def test_endless_headers_are_read_for_8_kib(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    original = socket.SocketIO.readinto

    def count(self: socket.SocketIO, buffer: Any) -> int | None:
        read.append(original(self, buffer) or 0)
        return read[-1]

    monkeypatch.setattr(socket.SocketIO, "readinto", count)
    with talking(Endless(start=b"HTTP/1.1 200 OK\r\n", repeat=b"X: " + b"y" * 500 + b"\r\n")) as url:
        post(url, b"{}", private=LOOPBACK, attempt_s=10)
    assert 0 < sum(read) <= 8 * 1024


def test_half_an_answer_at_the_end_of_the_time_is_a_failure() -> None:
    def send_half(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Half: ")
        # The body of the request may follow its head; nothing comes afterwards.
        while connection.recv(65536):
            pass

    with talking(send_half) as url, pytest.raises(CallbackFailed, match="did not answer within"):
        post(url, b"{}", private=LOOPBACK, attempt_s=0.3)


def test_silent_resolver_ends_the_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(20))
    began = time.monotonic()
    with pytest.raises(CallbackFailed):
        post("http://slow.example/", b"{}", resolve_s=0.1)
    assert time.monotonic() - began < 2
    over.set()


def test_three_of_a_hundred_addresses_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_connecting_leaves_time_for_the_answer_and_the_attempt_ends_while_hidden() -> None:
    longest_s = ssrf_guard.RESOLVE_S + ssrf_guard.MAX_TARGETS * sender.CONNECT_S
    assert longest_s < sender.ATTEMPT_S < dispatcher.VISIBILITY_S


def test_connection_made_after_the_time_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    original, over = socket.getaddrinfo, threading.Event()

    def resolve_late(*args: Any, **kwargs: Any) -> Any:
        time.sleep(0.4)
        return original(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_late)
    began = time.monotonic()
    with talking(lambda _: bool(over.wait(8))) as url, pytest.raises(CallbackFailed):  # type: ignore[arg-type,return-value]
        post(url, b"{}", private=LOOPBACK, attempt_s=0.2)
    assert time.monotonic() - began < 4
    over.set()


# Destinations


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:5000",
        "http://127.0.0.1/",
        "http://[::1]/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://user:secret@127.0.0.1/",
    ],
)
def test_private_address_is_refused(url: str) -> None:
    """tests/faults has all forms of all networks."""
    with pytest.raises(CallbackRefused):
        post(url, b"{}")


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254"])
def test_both_schemes_are_guarded(scheme: str, host: str) -> None:
    with pytest.raises(CallbackRefused, match="private"):
        post(f"{scheme}://{host}/", b"{}")


@pytest.mark.parametrize(
    "url", ["", "nonsense", "ftp://example.com/", "file:///etc/passwd", "http://", "http://[::1"]
)
def test_malformed_url_is_refused(url: str) -> None:
    with pytest.raises(CallbackRefused):
        post(url, b"{}")


def test_name_that_resolves_to_a_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: int, **_: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(CallbackRefused, match=r"Host public\.example has a private address"):
        post("http://public.example/", b"{}")


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
)
def test_public_address_is_allowed(address: str) -> None:
    assert is_allowed(ipaddress.ip_address(address), ())


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
def test_address_that_embeds_a_public_one_is_refused(address: str) -> None:
    assert not is_allowed(ipaddress.ip_address(address), ())


@pytest.mark.parametrize(
    ("setting", "allowed", "refused"),
    [
        ("1", ["10.0.0.1", "127.0.0.1", "::1", "fd00::1", "64:ff9b:1::1"], []),
        ("0", [], ["10.0.0.1", "::1"]),
        ("10.0.0.0/8, fd00::/8", ["10.1.2.3", "fd00::1", "::ffff:10.1.2.3"], ["127.0.0.1", "::1"]),
    ],
)
def test_private_networks_are_allowed_by_setting(
    setting: str, allowed: list[str], refused: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBACK_ALLOW_PRIVATE", setting)
    networks = WebhookSettings.from_env().callback_allow_private
    for address in allowed:
        assert is_allowed(ipaddress.ip_address(address), networks)
    for address in refused:
        assert not is_allowed(ipaddress.ip_address(address), networks)


@settings(max_examples=200)
@given(st.one_of(st.text(max_size=40), st.text(max_size=40).map(lambda text: f"http://{text}")))
def test_any_url_ends_in_a_named_error_without_the_url(url: str) -> None:
    original = socket.socket.connect
    socket.socket.connect = _fail_to_connect  # type: ignore[method-assign]
    try:
        with pytest.raises((CallbackRefused, CallbackFailed)) as ended:
            post(url, b"{}")
        assert len(url) < 5 or url not in str(ended.value)
    finally:
        socket.socket.connect = original  # type: ignore[method-assign]


def _fail_to_connect(*_: object) -> None:
    raise OSError("this test has no network")
