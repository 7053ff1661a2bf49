"""Five hundred clients that follow events: the process serves 128 of them, and everybody else as before."""

import asyncio
import secrets
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import requests
from rest.tests.conftest import Start
from rest.tests.service import FRAME, Service

from msaas.songs import song_hash
from tests.attacks.crowd import Waits, measure

KEYS = [f"key-of-client-{number}-0123456789" for number in range(10)]
SONG = FRAME * 60
UPLOADS = 5


async def follow(port: int, job_id: str, key: str, statuses: Counter[int]) -> asyncio.StreamWriter:
    """Ask for the events, read the status line, and read nothing more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = (
        f"GET /apiv1/job/{job_id}/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n"
    )
    writer.write(request.encode())
    await writer.drain()
    statuses[int((await reader.readline()).split()[1])] += 1
    return writer


@dataclass(frozen=True, kw_only=True)
class Others:
    """Clients that follow no events."""

    #: Of a page, which the threads of the app answer.
    waits: Waits
    #: Seconds of each upload.
    uploads_s: list[float]


async def measure_others(service: Service) -> Others:
    waits = await measure(service.settings.port, "/openapi.json", requests=200)
    return Others(waits=waits, uploads_s=[await asyncio.to_thread(upload, service) for _ in range(UPLOADS)])


async def measure_among(service: Service, *, streams: int) -> tuple[Counter[int], Others]:
    """Return the statuses of the streams, and the waits of others meanwhile."""
    statuses: Counter[int] = Counter()
    port = service.settings.port
    followers = [
        await follow(port, song_hash(SONG), KEYS[number % len(KEYS)], statuses) for number in range(streams)
    ]
    others = await measure_others(service)
    for follower in followers:
        follower.close()
    return statuses, others


def upload(service: Service) -> float:
    """Send a new song of 16 MiB. Return the seconds."""
    began = time.monotonic()
    assert send(service, FRAME * 40_000 + secrets.token_bytes(8)) == 200
    return time.monotonic() - began


def send(service: Service, mp3: bytes) -> int:
    headers = {"Authorization": f"Bearer {KEYS[0]}", "Content-Type": "audio/mpeg"}
    url = f"{service.url}/apiv1/separate"
    return requests.post(url, data=mp3, headers=headers, timeout=30).status_code


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.fault("T1")
def test_others_are_served_among_event_streams(start: Start, figure: Callable[[str], None]) -> None:
    service = start(API_KEYS=",".join(KEYS))
    assert send(service, SONG) == 200
    alone = asyncio.run(measure_others(service))
    before = service.serving.memory_info().rss
    statuses, others = asyncio.run(measure_among(service, streams=500))
    grown_mib = (service.serving.memory_info().rss - before) / 2**20
    figure(
        f"500 streams: {statuses[200]} served, {statuses[503]} refused, others {others.waits} (alone "
        f"{alone.waits}), an upload of 16 MiB {statistics.median(others.uploads_s):.2f} s (alone "
        f"{statistics.median(alone.uploads_s):.2f} s), +{grown_mib:.0f} MiB"
    )
    assert statuses == {200: 128, 503: 372}
    assert others.waits.failed == 0
    assert others.waits.p99_s <= 0.1
    assert statistics.median(others.uploads_s) <= 2 * statistics.median(alone.uploads_s) + 0.2
    assert grown_mib < 64
