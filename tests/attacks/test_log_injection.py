"""Clients that write into the logs: nothing that a terminal obeys gets there."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from rest.tests.conftest import Start
from rest.tests.service import Service

from tests.servers import RedisServer, wait_until

#: Clears the screen, sets the title (C0 and C1), ends the line in four ways, reverses the direction of text.
HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m\r\n\x85\u2028\u2029\u202eforged \x7f\x00"
LONG = HOSTILE + "x" * 10_000
MAX_CHARS = 1000
#: Every event whose line repeats text of a request.
EVENTS = {"request_refused", "http_request_rejected"}


def send_raw(service: Service, head: str) -> None:
    with socket.create_connection(("127.0.0.1", service.settings.port)) as client:
        client.settimeout(20)
        client.sendall(head.encode("utf-8", "surrogateescape"))
        client.recv(4096)


def attack(service: Service) -> int:
    """Put the text wherever a client may. Return the number of requests."""
    # URLs have a limit of 8 KiB.
    path, text = quote(HOSTILE), quote(LONG[:7000])
    json_fields: list[dict[str, Any]] = [
        {"mp3": LONG},
        {"mp3": "QUJD", "model": LONG},
        {"mp3": "QUJD", LONG: 1},
        {"mp3": "QUJD", "callback": {"url": f"http://x/{LONG}"}},
        {"mp3": "QUJD", "callback": {"url": LONG, "data": LONG}},
    ]
    for fields in json_fields:
        service.send_as_json(fields)
    paths = [
        f"/apiv1/job/{text}",
        f"/apiv1/track/{text}/bass",
        f"/apiv1/remove/{'a' * 64}/{path}",
        f"/apiv1/queue?cursor={path}",
        f"/{path}",
    ]
    for each in paths:
        service.get(each)
    service.send(b"no song", query=f"?model={path}")
    service.send(b"no song", query=f"?{path}=1")
    heads = [
        f"GET /apiv1/queue HTTP/1.1\r\nHost: \x1b[2J{'x' * 5000}.example\r\n\r\n",
        f"GET /apiv1/queue HTTP/1.1\r\nHost: \u202e\u2028{'x' * 5000}.example\r\n\r\n",
        "GET /apiv1/queue HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: \u009b31m\r\n\r\n",
        "DELETE /apiv1/delete_contents HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: \u202ex\r\n\r\n",
        "POST /apiv1/separate HTTP/1.1\r\nHost: localhost\r\nContent-Type: \u009b/\u2028\r\n"
        "Content-Length: 1\r\n\r\nx",
        "\x1b[2J\u202e / HTTP/1.1\r\n\r\n",
        "GET /\u202e\u009b HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ]
    for head in heads:
        send_raw(service, head)
    return len(json_fields) + len(paths) + 2 + len(heads)


@pytest.fixture
def printed(redis_server: RedisServer, tmp_path: Path) -> Iterator[Path]:
    """The output of the logs service."""
    output = tmp_path / "logs.txt"
    environment = {**os.environ, "REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(redis_server.port)}
    with open(output, "wb") as file:
        process = subprocess.Popen([sys.executable, "-m", "msaas_logs"], env=environment, stdout=file)
    yield output
    process.kill()
    process.wait()


@pytest.mark.fault("T7")
def test_foreign_text_reaches_no_terminal(
    start: Start, printed: Path, redis_server: RedisServer, figure: Callable[[str], None]
) -> None:
    service = start(LOG_LEVEL="debug", REDIS_PORT=str(redis_server.port))
    requests = attack(service)
    redis_server.client().lpush("logging", HOSTILE.encode(), b"\xff\x1b[2J", b"the last line")
    wait_until(lambda: b"the last line" in printed.read_bytes())
    assert_printable(printed)
    assert_printable(service.log)
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    values = [value for line in lines for value in line.values() if isinstance(value, str)]
    assert [value for value in values if not value.isprintable()] == []
    longest = max(map(len, values))
    figure(f"{requests} requests: {len(lines)} lines, longest value {longest} characters")
    # Some were longer.
    assert longest == MAX_CHARS
    assert {line["event"] for line in lines} >= EVENTS


def assert_printable(file: Path) -> None:
    lines = file.read_bytes().decode().split("\n")
    assert len(lines) > 10
    assert [line for line in lines if not line.isprintable()] == []
