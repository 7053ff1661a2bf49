"""The process: command line, start, slow clients, malformed requests, graceful shutdown."""

import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from importlib.metadata import version

import pytest
import requests
from rest.tests.conftest import Start
from rest.tests.service import ROOT, Service

from tests.servers import wait_until

JOB = "a" * 64
COMMANDS = [["rest/rest-server.py"], ["-m", "msaas_rest"]]


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


# Command line


@pytest.mark.process
@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_printed(command: list[str]) -> None:
    ended = run([*command, "--help"])
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("usage: python -m msaas_rest")
    assert "--check-config" in ended.stdout


@pytest.mark.process
def test_version_is_printed() -> None:
    ended = run(["-m", "msaas_rest", "--version"])
    assert (ended.returncode, ended.stdout.strip()) == (0, version("msaas-rest"))


@pytest.mark.process
@pytest.mark.parametrize("argument", ["--hlep", "serve"])
def test_unknown_argument_exits_with_2(argument: str) -> None:
    ended = run(["-m", "msaas_rest", argument])
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("usage: python -m msaas_rest")
    assert argument in ended.stderr


@pytest.mark.process
def test_invalid_setting_is_named() -> None:
    ended = run(["-m", "msaas_rest"], MAX_UPLOAD_MB="none")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "MAX_UPLOAD_MB: Input should be a valid integer" in ended.stderr
    assert "Traceback" not in ended.stderr


# Start


def test_it_starts_without_redis_and_store(shared: Start) -> None:
    service = shared(REDIS_PORT="1", STORE_DIR="", MINIO_HOST="127.0.0.1:1")
    assert service.get("/healthz").status_code == 200
    assert service.get("/").status_code == 200
    assert service.get("/readyz").status_code == 503


def test_it_serves_ipv6(start: Start) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    assert start(HOST="::1").get("/apiv1/queue").status_code == 200


# Slow clients


def test_slow_clients_do_not_delay_others(service: Service) -> None:
    head = "POST /apiv1/separate HTTP/1.1\r\nHost: localhost\r\nContent-Type: audio/mpeg\r\n"
    slow = [socket.create_connection(("127.0.0.1", service.settings.port)) for _ in range(100)]
    try:
        for client in slow:
            client.sendall(f"{head}Content-Length: 99\r\n\r\nx".encode())
        wait_until(lambda: "msaas_uploads 100.0" in service.get("/metrics").text)
        times = sorted(service.get("/apiv1/queue").elapsed.total_seconds() for _ in range(100))
        assert times[98] <= 1.0
    finally:
        for client in slow:
            client.close()


IMPATIENT = """
from msaas_rest.http.protocol import ConnectionPolicy
from msaas_rest.http.receiving import ReceivingPolicy
from msaas_rest.http.server import serve
from msaas_rest.settings import RestSettings
serve(
    RestSettings.from_env(),
    connection_policy=ConnectionPolicy(head_s=0.5, stalled_s=0.5, refused_s=0.5),
    receiving_policy=ReceivingPolicy(grace_s=0.5, min_bytes_per_s=1000),
)
"""


@pytest.fixture
def impatient(shared: Start) -> Service:
    """A service that waits half a second for its clients."""
    return shared(command=("-c", IMPATIENT))


def receive_all(client: socket.socket) -> bytes:
    """Return everything until the service closes the connection."""
    received = b""
    with suppress(ConnectionResetError):
        while chunk := client.recv(65536):
            received += chunk
    return received


def trickle(client: socket.socket) -> None:
    """Send a byte now and then, for 5 s."""
    for _ in range(100):
        client.sendall(b"A")
        time.sleep(0.05)


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: "])
def test_client_without_a_whole_head_is_disconnected(impatient: Service, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", impatient.settings.port), timeout=10) as client:
        client.sendall(sent)
        assert receive_all(client) == b""


def test_head_that_trickles_is_disconnected(impatient: Service) -> None:
    with (
        socket.create_connection(("127.0.0.1", impatient.settings.port), timeout=10) as client,
        pytest.raises(ConnectionError),
    ):
        trickle(client)


SLOW_UPLOAD = b"POST /apiv1/separate HTTP/1.1\r\nHost: localhost\r\nContent-Type: audio/mpeg\r\n"


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 9999\r\n\r\nx", b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"]
)
def test_body_below_the_minimum_rate_is_408(impatient: Service, framing: bytes) -> None:
    with socket.create_connection(("127.0.0.1", impatient.settings.port), timeout=10) as client:
        client.sendall(SLOW_UPLOAD + framing)
        answer = receive_all(client)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"urn:msaas:error:upload_too_slow" in answer
    assert "msaas_upload_bytes 0.0" in impatient.get("/metrics").text


def test_body_above_the_minimum_rate_may_take_longer(impatient: Service, song: bytes) -> None:
    with socket.create_connection(("127.0.0.1", impatient.settings.port), timeout=10) as client:
        client.sendall(SLOW_UPLOAD + f"Content-Length: {len(song)}\r\n\r\n".encode())
        for start in range(0, len(song), len(song) // 10):
            client.sendall(song[start : start + len(song) // 10])
            time.sleep(0.1)
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_client_that_leaves_during_its_upload_is_not_an_error(start: Start, song: bytes) -> None:
    service = start()
    with socket.create_connection(("127.0.0.1", service.settings.port), timeout=10) as client:
        client.sendall(SLOW_UPLOAD + f"Content-Length: {len(song)}\r\n\r\n".encode() + song[:-1000])
        wait_until(lambda: "msaas_uploads 1.0" in service.get("/metrics").text)
    wait_until(lambda: "msaas_uploads 0.0" in service.get("/metrics").text)
    assert "error" not in service.log.read_text()
    assert service.queue.waiting() == []


def store_large_stem(service: Service) -> None:
    service.store_stems(JOB)
    manifest = service.song_store.manifest(JOB)
    assert manifest is not None
    large = service.song_store.put_stem(JOB, "bass", io.BytesIO(bytes(20_000_000)))
    service.song_store.put_manifest(replace(manifest, stems={**manifest.stems, "bass": large}))


DOWNLOAD = f"GET /apiv1/track/{JOB}/bass HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


FEW_CONNECTIONS = """
from msaas_rest.http.protocol import ConnectionPolicy
from msaas_rest.http.server import serve
from msaas_rest.settings import RestSettings
serve(RestSettings.from_env(), connection_policy=ConnectionPolicy(connections=3))
"""


def test_connection_beyond_the_limit_is_closed_at_once(start: Start) -> None:
    service = start(command=("-c", FEW_CONNECTIONS))
    address = ("127.0.0.1", service.settings.port)
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(socket.create_connection(address, timeout=5))
        beyond = stack.enter_context(socket.create_connection(address, timeout=5))
        assert receive_all(beyond) == b""
    wait_until(service.answers)


SHARED = FEW_CONNECTIONS.replace("connections=3", "connections=4, shared_by_clients=()")


def test_one_address_holds_half_of_the_connections(start: Start) -> None:
    service = start(command=("-c", SHARED))
    address = ("127.0.0.1", service.settings.port)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(socket.create_connection(address, timeout=5))
        beyond = stack.enter_context(socket.create_connection(address, timeout=5))
        assert receive_all(beyond) == b""
        other = socket.create_connection(address, timeout=5, source_address=("127.0.0.2", 0))
        stack.enter_context(other)
        other.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert other.recv(100).startswith(b"HTTP/1.1 200")
    wait_until(service.answers)


def test_client_that_reads_nothing_is_disconnected(impatient: Service) -> None:
    store_large_stem(impatient)
    with socket.create_connection(("127.0.0.1", impatient.settings.port), timeout=10) as client:
        client.sendall(DOWNLOAD)
        assert client.recv(9) == b"HTTP/1.1 "
        time.sleep(2)
        assert len(receive_all(client)) < 20_000_000


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_client_reads_the_refusal_of_an_upload_that_it_still_sends(service: Service, connection: str) -> None:
    head = SLOW_UPLOAD.replace(b"audio/mpeg", b"audio/mpeg\r\nContent-Encoding: gzip")
    body = bytes(8 * 1024 * 1024)
    with socket.create_connection(("127.0.0.1", service.settings.port), timeout=10) as client:
        client.sendall(head + f"Connection: {connection}\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        wait_until(lambda: client.recv(1, socket.MSG_PEEK))
        client.sendall(body)
        assert client.recv(12) == b"HTTP/1.1 415"


def test_refused_client_that_sends_on_is_disconnected(impatient: Service) -> None:
    with socket.create_connection(("127.0.0.1", impatient.settings.port), timeout=10) as client:
        client.sendall(SLOW_UPLOAD.replace(b"audio/mpeg", b"audio/mpeg\r\nContent-Encoding: gzip"))
        client.sendall(b"Content-Length: 99999999\r\n\r\n")
        answer = client.recv(65536)
        assert answer.startswith(b"HTTP/1.1 415 ")
        with pytest.raises(ConnectionError):
            trickle(client)


def test_client_that_only_sends_no_more_gets_its_answer(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.settings.port), timeout=20) as client:
        client.sendall(b"GET /apiv1/queue HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        assert receive_all(client).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("closes", [socket.SHUT_WR, socket.SHUT_RDWR])
def test_client_that_leaves_during_a_download_costs_nothing(start: Start, closes: int) -> None:
    service = start()
    store_large_stem(service)
    with socket.create_connection(("127.0.0.1", service.settings.port), timeout=20) as client:
        client.sendall(DOWNLOAD)
        assert client.recv(9) == b"HTTP/1.1 "
        client.shutdown(closes)
        before_s = sum(service.serving.cpu_times()[:2])
        time.sleep(1)
        assert sum(service.serving.cpu_times()[:2]) - before_s < 0.5
        assert service.get("/healthz").ok


# Malformed requests


def exchange(service: Service, sent: bytes) -> tuple[http.client.HTTPResponse, bytes]:
    """Send these bytes, and return the answer and its body."""
    with socket.create_connection(("127.0.0.1", service.settings.port), timeout=20) as client:
        client.sendall(sent)
        answer = http.client.HTTPResponse(client)
        answer.begin()
        return answer, answer.read()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("GET\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nAuthorization Bearer the-key-of-a-client\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nAuthorization: Bearer the-key-of-a-client\0\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: cow\r\n\r\n", 501),
    ],
    ids=["line", "header", "value", "no host", "coding"],
)
def test_malformed_request_is_a_problem_and_not_repeated(service: Service, sent: str, status: int) -> None:
    answer, body = exchange(service, sent.encode())
    problem = json.loads(body)
    assert body.endswith(b"}\n")
    assert (answer.status, problem["status"]) == (status, status)
    assert problem["detail"].startswith("The HTTP request cannot be parsed: ")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert {"type", "title", "detail", "instance", "reason"} <= set(problem)
    wait_until(lambda: "http_request_rejected" in service.log.read_text())
    assert "the-key-of-a-client" not in service.log.read_text() + str(problem)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", 505),
        (f"GET /{'a' * 9000} HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (f"GET /?{'a' * 9000} HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (f"GET / HTTP/1.1\r\nHost: localhost\r\nX: {'a' * 40_000}\r\n\r\n", 431),
    ],
    ids=["version", "long path", "long query", "long header"],
)
def test_request_beyond_the_limits_of_its_head_is_a_problem(service: Service, sent: str, status: int) -> None:
    answer, body = exchange(service, sent.encode())
    assert (answer.status, json.loads(body)["status"]) == (status, status)
    assert answer.headers["Content-Type"] == "application/problem+json"


def flood(client: socket.socket) -> None:
    """Send 4 MB without a line break."""
    for _ in range(1000):
        client.sendall(b"A" * 4096)


def test_endless_head_is_refused(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.settings.port), timeout=20) as client:
        # Without the limit the service would read all of it and wait for more.
        with pytest.raises(ConnectionError):
            flood(client)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://localhost/apiv1/queue?limit=1", 200),
        ("HTTP://localhost:5000/apiv1/queue", 200),
        ("http://localhost", 200),
        ("http://localhost/apiv1/nothing", 404),
        ("ftp://localhost/apiv1/queue", 404),
    ],
)
def test_target_with_a_scheme_is_its_path(service: Service, target: str, status: int) -> None:
    answer, _ = exchange(service, f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert answer.status == status


def test_authority_of_the_target_replaces_the_host(service: Service) -> None:
    """Else a page of another host could pass the check of its origin."""
    head = "Host: localhost\r\nOrigin: http://localhost\r\nContent-Length: 0\r\n\r\n"
    allowed, _ = exchange(service, f"POST http://localhost/apiv1/separate HTTP/1.1\r\n{head}".encode())
    refused, _ = exchange(service, f"POST http://evil.example/apiv1/separate HTTP/1.1\r\n{head}".encode())
    assert (allowed.status, refused.status) == (400, 421)


def test_script_name_header_changes_nothing(service: Service) -> None:
    assert service.get("/apiv1/queue", headers={"SCRIPT_NAME": "/x", "Script-Name": "/x"}).status_code == 200


def test_broken_chunk_after_a_get_has_one_answer(service: Service) -> None:
    sent = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.settings.port), timeout=20) as client:
        client.sendall(sent)
        received = client.recv(65536)
        client.sendall(b"not a chunk\r\n")
        received += receive_all(client)
    assert received.count(b"HTTP/1.1 ") == 1


def test_body_of_two_lengths_is_400_and_ends_the_connection(service: Service) -> None:
    """A proxy that reads the other length would take the rest for a request of the next client."""
    head = b"POST /apiv1/separate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
    sent = head + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.settings.port), timeout=20) as client:
        client.sendall(sent)
        received = receive_all(client)
    assert received.count(b"HTTP/1.1 ") == received.count(b"HTTP/1.1 400 ") == 1
    assert b"both Content-Length and Transfer-Encoding" in received


def test_later_requests_of_a_connection_are_as_fast_as_the_first(service: Service) -> None:
    """Nagle's algorithm would hold a body back until its head is acknowledged, 40 ms later."""
    times = []
    with requests.Session() as session:
        for _ in range(30):
            began = time.perf_counter()
            assert session.get(f"{service.url}/healthz", timeout=10).content
            times.append(time.perf_counter() - began)
    assert min(times[1:]) < 0.03


# End


def test_sigterm_answers_the_request_in_progress(start: Start, song: bytes) -> None:
    service = start()
    with socket.create_connection(("127.0.0.1", service.settings.port), timeout=10) as client:
        head = "POST /apiv1/separate HTTP/1.1\r\nHost: localhost\r\nContent-Type: audio/mpeg\r\n"
        client.sendall(f"{head}Content-Length: {len(song)}\r\n\r\n".encode() + song[:-1000])
        wait_until(lambda: "msaas_uploads 1.0" in service.get("/metrics").text)
        service.process.send_signal(signal.SIGTERM)
        client.sendall(song[-1000:])
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert service.process.wait(timeout=20) == 0
    assert len(service.queue.waiting()) == 1
