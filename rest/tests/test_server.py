"""The process: command line, start, slow clients, malformed requests, graceful shutdown."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from importlib.metadata import version

import psutil
import pytest
from rest.tests.conftest import Start
from rest.tests.service import ROOT, Service

from msaas_rest.http.server import THREADS
from tests.servers import wait_until

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
        serving = service.serving
        wait_until(lambda: serving.num_threads() > 100)
        times = sorted(service.get("/apiv1/queue").elapsed.total_seconds() for _ in range(100))
        assert times[98] <= 1.0
    finally:
        for client in slow:
            client.close()
    assert THREADS >= 256


IMPATIENT = """
from msaas_rest.http.server import Server
from msaas_rest.settings import RestSettings
Server(RestSettings.from_env(), idle_s=1).run()
"""


@pytest.mark.parametrize("sent", ["GET / HT", "POST /apiv1/separate HTTP/1.1\r\nContent-Length: 99\r\n\r\nx"])
def test_silent_clients_are_disconnected(shared: Start, sent: str) -> None:
    service = shared(command=("-c", IMPATIENT))
    silent = [socket.create_connection(("127.0.0.1", service.settings.port)) for _ in range(THREADS + 10)]
    try:
        for client in silent:
            client.sendall(sent.encode())
        serving = service.serving
        wait_until(lambda: serving.num_threads() >= THREADS)
        assert service.get("/healthz", timeout=10).ok
    finally:
        for client in silent:
            client.close()


# Malformed requests


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("GET\r\n\r\n", 400),
        ("GET / HTTP/9.9\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nAuthorization Bearer the-key-of-a-client\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nAuthorization: Bearer the-key-of-a-client\0\r\n\r\n", 400),
        (f"GET /{'a' * 9000} HTTP/1.1\r\n\r\n", 414),
        (f"GET / HTTP/1.1\r\nX: {'a' * 9000}\r\n\r\n", 431),
        ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: cow\r\n\r\n", 501),
    ],
    ids=["line", "version", "header", "value", "long line", "long header", "coding"],
)
def test_malformed_request_is_a_problem_and_not_repeated(service: Service, sent: str, status: int) -> None:
    with socket.create_connection(("127.0.0.1", service.settings.port), timeout=20) as client:
        client.sendall(sent.encode())
        answer = http.client.HTTPResponse(client)
        answer.begin()
        body = answer.read()
    problem = json.loads(body)
    assert body.endswith(b"}\n")
    assert (answer.status, problem["status"]) == (status, status)
    assert problem["detail"].startswith("The HTTP request cannot be parsed: ")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert {"type", "title", "detail", "instance", "reason"} <= set(problem)
    wait_until(lambda: "http_request_malformed" in service.log.read_text())
    assert "the-key-of-a-client" not in service.log.read_text() + str(problem)


# End


def test_sigterm_answers_the_request_in_progress_and_leaves_no_process(start: Start, song: bytes) -> None:
    service = start()
    children = psutil.Process(service.process.pid).children(recursive=True)
    assert children
    with socket.create_connection(("127.0.0.1", service.settings.port), timeout=10) as client:
        head = "POST /apiv1/separate HTTP/1.1\r\nHost: localhost\r\nContent-Type: audio/mpeg\r\n"
        client.sendall(f"{head}Content-Length: {len(song)}\r\n\r\n".encode() + song[:-1000])
        wait_until(lambda: "msaas_upload_bytes 0.0" not in service.get("/metrics").text)
        service.process.send_signal(signal.SIGTERM)
        client.sendall(song[-1000:])
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert service.process.wait(timeout=20) == 0
    assert not [child for child in children if child.is_running()]
    assert len(service.queue.waiting()) == 1


def test_killed_serving_process_is_started_again_and_reported(
    start: Start,
) -> None:
    service = start()
    killed = service.serving
    killed.kill()
    wait_until(lambda: "SIGKILL" in service.log.read_text())
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    assert [(line["logger"], line["level"]) for line in lines] == [("gunicorn.error", "error")]
    wait_until(service.answers)
    assert service.serving.pid != killed.pid
