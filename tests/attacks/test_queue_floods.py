"""Clients that fill the queue, and clients that list a queue which is full."""

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from rest.tests.conftest import Start
from rest.tests.service import FRAME

from msaas.jobs import Job
from tests.attacks.crowd import measure

HEAD = (
    b"POST /apiv1/separate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    b"Content-Type: audio/mpeg\r\nContent-Length: %d\r\n\r\n"
)


@pytest.mark.fault("T8")
def test_uploads_begun_at_once_do_not_pass_the_limit(start: Start, figure: Callable[[str], None]) -> None:
    """All find room at their start. Their ends come together."""
    service = start(MAX_QUEUED="3")
    barrier = threading.Barrier(40)

    def finish(client: socket.socket, number: int) -> int:
        barrier.wait()
        client.sendall(FRAME + bytes([number]) * 8)
        return int(client.recv(4096).split(b" ", 2)[1])

    with ExitStack() as stack, ThreadPoolExecutor(40) as threads:
        clients = []
        for _ in range(40):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", service.settings.port)))
            client.sendall(HEAD % (101 * len(FRAME) + 8) + FRAME * 100)
            clients.append(client)
        statuses = list(threads.map(finish, clients, range(40)))
    waiting = service.queue.waiting()
    figure(f"40 uploads at once, MAX_QUEUED=3: {len(waiting)} enqueued, {statuses.count(503)} answered 503")
    assert sorted(set(statuses)) == [200, 503]
    assert len(waiting) == statuses.count(200) == 3


@pytest.mark.alone
@pytest.mark.fault("T8")
def test_list_of_a_full_queue_stays_short(start: Start, figure: Callable[[str], None]) -> None:
    service = start()
    entries = [Job(job_id=f"{number:064x}").encode() for number in range(100_000)]
    for at in range(0, len(entries), 10_000):
        service.redis.lpush("toWorkers", *entries[at : at + 10_000])
    page = service.get("/apiv1/queue")
    waits = asyncio.run(measure(service.settings.port, "/apiv1/queue", requests=300, pause_s=0))
    last = service.get("/apiv1/queue?cursor=99999").json()
    figure(f"100,000 waiting jobs: {len(page.content) / 1000:.0f} kB, {waits}")
    assert page.json()["queue"] == [f"{number:064x}" for number in range(1000)]
    assert last == {"queue": [f"{99_999:064x}"]}
    assert len(page.content) < 100_000
    assert waits.failed == 0
    assert waits.p99_s <= 0.1
