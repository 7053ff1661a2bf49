"""Clients that upload too much, too slowly, or too many at once."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from rest.tests.conftest import Start
from rest.tests.service import FRAME, Service
from rest.tests.test_upload_memory import peak_bytes, reset_peak

from tests.attacks.crowd import measure
from tests.servers import wait_until

MIB = 1024 * 1024
HEAD = (
    b"POST /apiv1/separate HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)


def json_body(size_mib: int, *, end: str) -> Iterator[bytes]:
    yield b'{"mp3": "'
    for _ in range(size_mib):
        yield b"QUJD" * (MIB // 4)
    yield end.encode()


@pytest.mark.long
@pytest.mark.fault("T4")
@pytest.mark.parametrize("size_mib", [50, pytest.param(150, marks=pytest.mark.chaos)])
@pytest.mark.parametrize("end", ["\U0001f600", '"}', '", "model": "htdemucs"}', '\\u00e9"}', ""])
def test_large_json_takes_little_memory(
    start: Start, figure: Callable[[str], None], size_mib: int, end: str
) -> None:
    service = start(MAX_UPLOAD_MB="100")
    service.send(FRAME * 100)
    reset_peak(service.serving)
    before = peak_bytes(service.serving)
    answer = service.call(
        "POST",
        "/apiv1/separate",
        data=json_body(size_mib, end=end),
        headers={"Content-Type": "application/json"},
        timeout=120,
    )
    grown_mib = (peak_bytes(service.serving) - before) / MIB
    figure(f"{size_mib} MiB, end {end!r}: {answer.status_code}, +{grown_mib:.0f} MiB")
    assert answer.status_code in (400, 413, 415)
    assert grown_mib <= 64


@pytest.mark.fault("T5")
def test_trickling_uploads_leave_room_for_others(start: Start, figure: Callable[[str], None]) -> None:
    """Each announces the largest body, sends a few bytes, and holds on."""
    service = start(MAX_UPLOAD_MB="2", MAX_IN_FLIGHT_MB="16")
    with ExitStack() as stack:
        for _ in range(100):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", service.settings.port)))
            client.sendall(HEAD % (3 * MIB) + b'{"mp3": "QUJD')
        wait_until(lambda: gauge(service, "msaas_uploads") == 100)
        answers = [service.send(FRAME * 100 + bytes([number])).status_code for number in range(20)]
        waits = asyncio.run(measure(service.settings.port, "/apiv1/queue", requests=50))
    figure(f"100 uploads trickle: {answers.count(200)}/20 songs accepted, others {waits}")
    assert answers == [200] * 20
    assert waits.failed == 0


@pytest.mark.long
@pytest.mark.fault("T5")
def test_uploads_that_stop_before_their_end_make_room(start: Start, figure: Callable[[str], None]) -> None:
    """Clients at two addresses fill the budget, send all but the last bytes, and hold on."""
    service = start(MAX_UPLOAD_MB="4", MAX_IN_FLIGHT_MB="32", TRUSTED_PROXIES="127.0.0.1/32")
    with ExitStack() as stack:
        for number in range(8):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", service.settings.port)))
            head = HEAD.replace(b"application/json", b"audio/mpeg") % (4 * MIB)
            client.sendall(head.replace(b"Host", b"X-Forwarded-For: 203.0.113.%d\r\nHost" % (number % 2)))
            client.sendall(FRAME * ((4 * MIB - 256 * 1024) // len(FRAME)))
        wait_until(lambda: gauge(service, "msaas_upload_bytes") > 29 * MIB)
        began = time.monotonic()
        answer = service.send(FRAME * (3 * MIB // len(FRAME)), timeout=60)
        waited_s = time.monotonic() - began
        ended = 8 - gauge(service, "msaas_uploads")
    figure(
        f"8 uploads hold 30 of 32 MiB and stop: a song of 3 MiB {answer.status_code} after {waited_s:.0f} s"
    )
    assert answer.status_code == 200, answer.text
    assert ended <= 2


@pytest.mark.fault("T5")
@pytest.mark.parametrize(
    ("size_mib", "limits"),
    [
        (4, {"MAX_UPLOAD_MB": "5", "MAX_IN_FLIGHT_MB": "40"}),
        pytest.param(90, {"MAX_DURATION_S": "100000"}, marks=pytest.mark.chaos),
    ],
)
def test_large_uploads_at_once_do_not_refuse_each_other(
    start: Start, figure: Callable[[str], None], size_mib: int, limits: dict[str, str]
) -> None:
    """Their sum is several times the budget. Those that find no room wait."""
    service = start(**limits)
    barrier = threading.Barrier(16)

    def send(number: int) -> int:
        frames = FRAME * (size_mib * MIB // len(FRAME) - 1)
        barrier.wait()
        return service.send(frames + bytes([number] * 8), timeout=300).status_code

    with ThreadPoolExecutor(16) as threads:
        statuses = list(threads.map(send, range(16)))
    figure(f"16 uploads of {size_mib} MiB at once: {statuses.count(200)} accepted")
    assert statuses == [200] * 16
    assert gauge(service, "msaas_upload_bytes") == 0


def gauge(service: Service, name: str) -> float:
    lines = service.get("/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


@pytest.mark.fault("T4")
def test_many_short_values_are_refused(start: Start) -> None:
    """Short values take far more memory as objects of the parser than as bytes. The document is valid."""
    answer = start().send_as_json({"mp3": "QUJD", "model": [0] * 200_000})
    assert answer.status_code == 400
    assert answer.json()["detail"] == "The body holds more than 100000 JSON values."
