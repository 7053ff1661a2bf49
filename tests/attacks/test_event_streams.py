"""Five hundred clients that follow events: the process serves 128 of them, and everybody else as before."""

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest
import requests
from rest.tests.conftest import Start
from rest.tests.service import FRAME, Service

from msaas.songs import song_hash
from tests.attacks.crowd import Waits, measure

KEYS = [f"key-of-client-{number}-0123456789" for number in range(10)]
SONG = FRAME * 60


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


async def measure_among(service: Service, *, streams: int) -> tuple[Counter[int], Waits, int]:
    """Return the statuses of the streams, the waits of others, and the status of an upload."""
    statuses: Counter[int] = Counter()
    port = service.settings.port
    followers = [
        await follow(port, song_hash(SONG), KEYS[number % len(KEYS)], statuses) for number in range(streams)
    ]
    waits = await measure(port, "/healthz", requests=200)
    upload = await asyncio.to_thread(send, service, FRAME * 40_000)
    for follower in followers:
        follower.close()
    return statuses, waits, upload


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
    before = service.serving.memory_info().rss
    statuses, waits, upload = asyncio.run(measure_among(service, streams=500))
    grown_mib = (service.serving.memory_info().rss - before) / 2**20
    figure(
        f"500 streams: {statuses[200]} served, {statuses[503]} refused, others {waits}, +{grown_mib:.0f} MiB"
    )
    assert statuses == {200: 128, 503: 372}
    assert waits.failed == 0
    assert waits.p99_s <= 0.1
    assert upload == 200
    assert grown_mib < 64
