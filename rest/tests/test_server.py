"""The process starts from its folder, says what it reads, and ends when it is asked to."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys

import psutil
import pytest
from rest.tests.conftest import Start
from rest.tests.service import ROOT, Service

from msaas_rest.http.server import THREADS
from tests.servers import RedisServer, wait_until


def test_it_ends_with_0_and_leaves_no_process(start: Start) -> None:
    service = start()
    children = psutil.Process(service.process.pid).children(recursive=True)
    assert children
    assert service.stop() == 0
    assert not [child for child in children if child.is_running()]


def test_a_request_under_way_is_answered_before_the_end(start: Start, song: bytes) -> None:
    service = start()
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        head = f"POST /apiv1/separate HTTP/1.1\r\nHost: {host}\r\nContent-Type: audio/mpeg\r\n"
        client.sendall(f"{head}Content-Length: {len(song)}\r\n\r\n".encode() + song[:-1000])
        wait_until(lambda: "msaas_upload_bytes 0.0" not in service.get("/metrics").text)
        service.process.send_signal(signal.SIGTERM)
        client.sendall(song[-1000:])
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert service.process.wait(timeout=20) == 0
    assert len(service.queue.waiting()) == 1


def test_many_slow_clients_hold_nobody_up(start: Start) -> None:
    service = start()
    host, port = service.url.removeprefix("http://").split(":")
    head = f"POST /apiv1/separate HTTP/1.1\r\nHost: {host}\r\nContent-Type: audio/mpeg\r\n"
    slow = [socket.create_connection((host, int(port))) for _ in range(100)]
    try:
        for client in slow:
            client.sendall(f"{head}Content-Length: 99\r\n\r\nx".encode())
        (serving,) = psutil.Process(service.process.pid).children()
        wait_until(lambda: serving.num_threads() > 100)
        times = sorted(service.get("/apiv1/queue").elapsed.total_seconds() for _ in range(100))
        assert times[98] <= 1.0
    finally:
        for client in slow:
            client.close()
    assert THREADS >= 256


IMPATIENT = """
from msaas_rest import __main__, wsgi
wsgi.IDLE_S = 1
__main__.main()
"""


@pytest.mark.parametrize("sent", ["GET / HT", "POST /apiv1/separate HTTP/1.1\r\nContent-Length: 99\r\n\r\nx"])
def test_clients_that_fall_silent_are_let_go(start: Start, sent: str) -> None:
    service = start(command=("-c", IMPATIENT))
    silent = [socket.create_connection(("127.0.0.1", service.settings.port)) for _ in range(THREADS + 10)]
    try:
        for client in silent:
            client.sendall(sent.encode())
        (serving,) = psutil.Process(service.process.pid).children()
        wait_until(lambda: serving.num_threads() >= THREADS)
        assert service.get("/healthz", timeout=10).ok
    finally:
        for client in silent:
            client.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("GET\r\n\r\n", 400),
        ("GET / HTTP/9.9\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nAuthorization Bearer the-key-of-somebody\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nAuthorization: Bearer the-key-of-somebody\0\r\n\r\n", 400),
        (f"GET /{'a' * 9000} HTTP/1.1\r\n\r\n", 414),
        (f"GET / HTTP/1.1\r\nX: {'a' * 9000}\r\n\r\n", 431),
        ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: cow\r\n\r\n", 501),
    ],
    ids=["line", "version", "header", "value", "long line", "long header", "coding"],
)
def test_what_is_no_request_is_a_problem_and_is_not_repeated(
    service: Service, sent: str, status: int
) -> None:
    with socket.create_connection(("127.0.0.1", service.settings.port), timeout=20) as client:
        client.sendall(sent.encode())
        answer = http.client.HTTPResponse(client)
        answer.begin()
        problem = json.loads(answer.read())
    assert (answer.status, problem["status"]) == (status, status)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert {"type", "title", "detail", "instance", "reason"} <= set(problem)
    wait_until(lambda: "no_request" in service.log.read_text())
    assert "the-key-of-somebody" not in service.log.read_text() + str(problem)


def ended(command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", [["rest/rest-server.py"], ["-m", "msaas_rest"]])
def test_its_settings_are_shown_without_secrets(command: list[str]) -> None:
    env = {**os.environ, "REDIS_PASSWORD": "hidden-one", "MINIO_SECRET_KEY": "hidden-two", "PORT": "5999"}
    shown = ended([*command, "--check-config"], env)
    assert shown.returncode == 0
    assert "PORT=5999" in shown.stdout
    assert "hidden" not in shown.stdout


def test_a_wrong_setting_is_named() -> None:
    env = {**os.environ, "MAX_UPLOAD_MB": "none"}
    refused = ended(["-m", "msaas_rest"], env)
    assert refused.returncode == 1
    assert "MAX_UPLOAD_MB" in refused.stderr


def test_it_starts_without_redis_and_store(start: Start, redis_server: RedisServer) -> None:
    """They may come later; until then it says so."""
    service = start(REDIS_PORT="1", STORE_DIR="", MINIO_HOST="127.0.0.1:1")
    assert service.get("/healthz").status_code == 200
    assert service.get("/").status_code == 200
    assert service.get("/readyz").status_code == 503


def test_it_serves_ipv6(start: Start) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    assert start(HOST="::1").get("/apiv1/queue").status_code == 200
