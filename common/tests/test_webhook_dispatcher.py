"""Callbacks: delivered exactly when the receiver says 2xx, never to a private place, never in a job's way."""

import ipaddress
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from worker.tests.service import Service
from worker.tests.songs import song_mp3

from msaas.jobs import Callback, Job
from msaas.queue.protocol import Delivery
from msaas.queue.redis.clients import RedisAddress
from msaas.queue.redis.outbox import RedisOutbox
from msaas.webhooks.dispatcher import Dispatcher
from msaas.webhooks.sender import CallbackFailed, CallbackRefused, post
from msaas.webhooks.ssrf_guard import is_allowed
from tests.servers import wait_until

LOOPBACK = [ip_network("127.0.0.0/8"), ip_network("::1/128")]
Answer = Callable[[BaseHTTPRequestHandler], None]


class Receiver:
    """Keeps what it was sent, and answers as it is told."""

    def __init__(self, answer: Answer) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.headers.append(dict(self.headers))
                receiver.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                with suppress(OSError):
                    answer(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"


@contextmanager
def receiving(answer: Answer) -> Iterator[Receiver]:
    receiver = Receiver(answer)
    threading.Thread(target=receiver.server.serve_forever, daemon=True).start()
    try:
        yield receiver
    finally:
        receiver.server.shutdown()
        receiver.server.server_close()


def says(status: int, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()

    return answer


def never_answers(request: BaseHTTPRequestHandler) -> None:
    time.sleep(30)


def drips_headers(request: BaseHTTPRequestHandler) -> None:
    for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100:
        request.wfile.write(bytes([byte]))
        time.sleep(0.1)


def sends_a_gigabyte(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    for _ in range(1024):
        request.wfile.write(bytes(1024 * 1024))


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_2xx_is_delivered(status: int) -> None:
    with receiving(says(status)) as receiver:
        post(receiver.url, b'{"a": 1}', private=LOOPBACK)
    assert receiver.bodies == [b'{"a": 1}']
    assert receiver.headers[0]["Content-Type"] == "application/json"


@pytest.mark.parametrize("status", [304, 400, 404, 410, 429, 500, 503])
def test_any_other_answer_is_no_delivery(status: int) -> None:
    with receiving(says(status)) as receiver, pytest.raises(CallbackFailed, match=f"HTTP {status}"):
        post(receiver.url, b"{}", private=LOOPBACK)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with receiving(says(200)) as other, receiving(says(status, Location=other.url)) as receiver:
        with pytest.raises(CallbackFailed, match=f"HTTP {status}"):
            post(receiver.url, b"{}", private=LOOPBACK)
    assert other.bodies == []


@pytest.mark.parametrize("answer", [never_answers, drips_headers])
def test_an_attempt_ends_when_its_time_is_over(answer: Answer) -> None:
    began = time.monotonic()
    with receiving(answer) as receiver, pytest.raises(CallbackFailed):
        post(receiver.url, b"{}", private=LOOPBACK, attempt_s=1.0)
    assert time.monotonic() - began < 3


def test_an_endless_answer_is_read_for_8_kib_only() -> None:
    began = time.monotonic()
    with receiving(sends_a_gigabyte) as receiver:
        post(receiver.url, b"{}", private=LOOPBACK)
    assert time.monotonic() - began < 3


def test_nobody_there_is_no_delivery() -> None:
    with pytest.raises(CallbackFailed):
        post("http://127.0.0.1:9/", b"{}", private=LOOPBACK)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:5000",
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::127.0.0.1]/",
        "http://[2002:7f00:1::]/",
        "http://10.0.0.1/",
        "http://172.16.0.1/",
        "http://192.168.1.1/",
        "http://100.64.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fe80::1]/",
        "http://[fd00::1]/",
        "http://0.0.0.0/",
        "http://[::]/",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
        "http://user:secret@127.0.0.1/",
        "http://example.com@127.0.0.1/",
    ],
)
def test_a_private_place_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(CallbackRefused):
        post(url, b"{}")


@pytest.mark.parametrize(
    "url", ["", "nonsense", "ftp://example.com/", "file:///etc/passwd", "http://", "http://[::1"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(CallbackRefused):
        post(url, b"{}")


def test_a_name_that_turns_private_is_refused_at_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def rebound(host: str, port: int, **_: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr("msaas_worker.destinations.socket.getaddrinfo", rebound)
    with pytest.raises(CallbackRefused, match=r"public\.example leads to a private address"):
        post("http://public.example/", b"{}")


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
)
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_allowed(ipaddress.ip_address(address), ())


def test_allowed_networks_are_allowed_and_no_others() -> None:
    networks = [ip_network("10.1.0.0/16")]
    assert is_allowed(ipaddress.ip_address("10.1.2.3"), networks)
    assert is_allowed(ipaddress.ip_address("::ffff:10.1.2.3"), networks)
    assert not is_allowed(ipaddress.ip_address("10.2.2.3"), networks)


class Scripted:
    """A post that answers as the script says."""

    def __init__(self, *script: Exception | None) -> None:
        self._script = list(script)

    def __call__(self, url: str, body: bytes, *, headers: Mapping[str, str]) -> None:
        if error := self._script.pop(0):
            raise error


def only(outbox: RedisOutbox, job_id: str) -> Delivery:
    (delivery,) = outbox.deliveries(job_id)
    return delivery


@pytest.fixture
def outbox(redis_address: RedisAddress) -> RedisOutbox:
    return RedisOutbox(redis_address)


def courier(outbox: RedisOutbox, *script: Exception | None) -> Dispatcher:
    return Dispatcher(outbox, Scripted(*script), threading.Event())


@pytest.mark.parametrize(
    ("outcome", "state"),
    [(None, "delivered"), (CallbackRefused("private"), "refused"), (CallbackFailed("HTTP 500"), "pending")],
)
def test_the_state_says_what_became_of_it(outcome: Exception | None, state: str, outbox: RedisOutbox) -> None:
    outbox.add(Callback("http://there/", {"a": 1}), job_id="abc")
    assert courier(outbox, outcome).deliver_next()
    assert only(outbox, "abc").state == state
    assert only(outbox, "abc").detail == (str(outcome) if outcome else "")


def test_a_failed_callback_is_not_due_at_once(outbox: RedisOutbox) -> None:
    outbox.add(Callback("http://there/"), job_id="abc")
    one = courier(outbox, CallbackFailed("HTTP 500"))
    assert one.deliver_next()
    assert not one.deliver_next()


def test_a_callback_that_always_fails_dies_with_its_last_reason(
    outbox: RedisOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("msaas_worker.callbacks._DELAYS_S", (0, 0))
    outbox.add(Callback("http://there/"), job_id="abc")
    one = courier(outbox, *[CallbackFailed("HTTP 500")] * 3)
    while one.deliver_next():
        pass
    assert (only(outbox, "abc").state, only(outbox, "abc").attempts) == ("dead", 3)


def test_one_id_serves_all_attempts(outbox: RedisOutbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msaas_worker.callbacks._DELAYS_S", (0, 0, 0))
    added = outbox.add(Callback("http://there/"), job_id="abc")
    one = courier(outbox, CallbackFailed("HTTP 500"), CallbackFailed("HTTP 500"), None)
    while one.deliver_next():
        pass
    assert (only(outbox, "abc").id, only(outbox, "abc").state) == (added, "delivered")


def test_a_running_worker_posts_the_data_once_the_stems_are_stored(service: Service) -> None:
    stored: list[bool] = []
    job_id = service.put(song_mp3(1))

    def answer(request: BaseHTTPRequestHandler) -> None:
        stored.append(service.song_store.whole_manifest(job_id) is not None)
        says(200)(request)

    service.start_worker(CALLBACK_ALLOW_PRIVATE="127.0.0.0/8")
    with receiving(answer) as receiver:
        service.queue.enqueue(Job(job_id=job_id, callback=Callback(receiver.url, {"mine": [1, 2]})))
        service.queue.enqueue(Job(job_id=job_id, callback=Callback(receiver.url)))
        wait_until(lambda: len(receiver.bodies) == 2, timeout_s=60)
    assert all(stored)
    assert {json.dumps(json.loads(body), sort_keys=True) for body in receiver.bodies} == {
        '{"mine": [1, 2]}',
        json.dumps({"songhash": job_id, "state": "done"}, sort_keys=True),
    }


def test_a_worker_refuses_a_private_destination_and_the_job_is_done(service: Service) -> None:
    worker = service.start_worker()
    job_id = service.put(song_mp3(1))
    service.queue.enqueue(Job(job_id=job_id, callback=Callback("http://localhost:5000", {})))
    assert service.wait_for_end(job_id).state == "done"
    worker.wait_until_said("callback_refused")


SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.parametrize("secret", [None, SECRET])
def test_a_receiver_can_check_who_sent_it(secret: str | None, outbox: RedisOutbox) -> None:
    with receiving(says(200)) as receiver:
        added = outbox.add(Callback(receiver.url, {"a": "ä"}), job_id="abc")
        Dispatcher(outbox, partial(post, private=LOOPBACK), threading.Event(), secret).deliver_next()
    [headers], [body] = receiver.headers, receiver.bodies
    assert headers["webhook-id"] == added
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 5
    if secret:
        assert Webhook(secret).verify(body, headers) == {"a": "ä"}
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body + b" ", headers)
    else:
        assert "webhook-signature" not in headers
