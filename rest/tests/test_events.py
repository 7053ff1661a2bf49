"""`GET /apiv1/job/<id>/events`: server-sent events over HTTP."""

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from rest.tests.conftest import Start
from rest.tests.service import Service

from msaas.jobs import Job
from msaas.queue.consumer import Claim
from msaas.queue.protocol import Cancellation
from msaas.songs import song_hash
from msaas_rest.job_events import Event, EventStream
from tests.servers import wait_until


def follow(service: Service, job_id: str, **headers: str) -> requests.Response:
    return requests.get(f"{service.url}/apiv1/job/{job_id}/events", headers=headers, stream=True, timeout=30)


def events(answer: requests.Response) -> Iterator[dict[str, Any]]:
    """Yield each event with its id."""
    fields: dict[str, str] = {}
    for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
        name, _, value = line.partition(": ")
        if line:
            fields[name] = value
        elif "data" in fields:
            yield {"id": fields["id"], **json.loads(fields["data"])}
            fields = {}


def claim(service: Service) -> tuple[Any, Claim]:
    worker = service.queue.consumer("w1")
    payload = worker.take(timeout_s=1) or b""
    return worker, worker.claim(Job.decode(payload), payload=payload)


@pytest.fixture
def job_id(service: Service, song: bytes) -> str:
    service.send(song)
    return song_hash(song)


def test_events_follow_a_job_to_its_end(service: Service, job_id: str) -> None:
    answer = follow(service, job_id)
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.headers["Cache-Control"] == "no-store"
    found = events(answer)
    first = next(found)
    assert (first["songhash"], first["state"], first["position"]) == (job_id, "queued", 1)
    worker, claimed = claim(service)
    assert next(found)["state"] == "running"
    changed = time.monotonic()
    worker.renew(claimed, progress=0.5)
    assert next(found)["progress"] == 0.5
    assert time.monotonic() - changed < 1.0
    service.queue.cancel(job_id, Cancellation(owner="", any_owner=True, all_requests=True))
    assert [each["state"] for each in found] == ["cancelled"]


def test_events_of_a_finished_job_are_one(service: Service, job_id: str) -> None:
    service.work()
    (event,) = events(follow(service, job_id))
    assert (event["state"], event["progress"]) == ("done", 1.0)
    assert follow(service, job_id, **{"Last-Event-ID": event["id"]}).status_code == 204
    (again,) = events(follow(service, job_id, **{"Last-Event-ID": "0" * 16}))
    assert again["id"] == event["id"]


def test_known_event_is_not_sent_again(service: Service, job_id: str) -> None:
    first = next(events(follow(service, job_id)))
    found = events(follow(service, job_id, **{"Last-Event-ID": first["id"]}))
    claim(service)
    assert next(found)["state"] == "running"


def test_unknown_job_has_no_events(service: Service) -> None:
    assert follow(service, "a" * 64).status_code == 404
    assert follow(service, "-").status_code == 400


def test_head_opens_no_stream(service: Service, job_id: str) -> None:
    # One client has 64 streams.
    for _ in range(70):
        answer = service.call("HEAD", f"/apiv1/job/{job_id}/events")
        assert (answer.status_code, answer.headers["Content-Type"][:17]) == (200, "text/event-stream")
    assert next(events(follow(service, job_id)))["state"] == "queued"


def test_streams_beyond_the_limit_are_refused_and_others_are_served(shared: Start, song: bytes) -> None:
    """128 streams of the process, 64 of one client."""
    service = shared(API_KEYS="ann:write:key-of-ann-0123456789,bob:write:key-of-bob-0123456789")
    keys = [{"Authorization": f"Bearer key-of-{name}-0123456789"} for name in ("ann", "bob")]
    for key in keys:
        service.send(song, headers=key)
    with ThreadPoolExecutor(16) as pool:
        answers = list(
            pool.map(lambda number: follow(service, song_hash(song), **keys[number % 2]), range(200))
        )
    assert sum(answer.status_code == 200 for answer in answers) == 128
    refused = [answer for answer in answers if answer.status_code == 503]
    assert len(refused) == 72
    assert refused[0].headers["Retry-After"] == "5"
    assert service.get("/apiv1/queue", headers=keys[0]).status_code == 200
    open_streams = [answer for answer in answers if answer.status_code == 200]
    claim(service)
    for answer in open_streams:
        found = events(answer)
        assert [next(found)["state"] for _ in range(2)] == ["queued", "running"]
    for answer in answers:
        answer.close()
    # Their places are free long before a comment would find that their clients have left.
    wait_until(lambda: follow(service, song_hash(song), **keys[0]).status_code == 200, timeout_s=3)


def test_streams_end_at_once_when_the_service_stops(start: Start, song: bytes) -> None:
    service = start()
    service.send(song)
    found = events(follow(service, song_hash(song)))
    next(found)
    stopped = time.monotonic()
    service.process.terminate()
    assert list(found) == []
    assert service.process.wait(timeout=20) == 0
    assert time.monotonic() - stopped < 5


def test_queue_outage_does_not_end_a_stream(own_redis: Any, start: Start, song: bytes) -> None:
    service = start(REDIS_HOST="127.0.0.1", REDIS_PORT=str(own_redis.port))
    service.send(song)
    found = events(follow(service, song_hash(song)))
    next(found)
    own_redis.kill()
    own_redis.start()
    claim(service)
    assert next(found)["state"] == "running"


def test_comments_keep_a_silent_stream_open() -> None:
    """Proxies end connections without bytes, after 60 s for example."""
    first = Event(id="1", data="{}", is_last=False)
    stream = EventStream(first, last_id="", comment_s=0.05, on_close=lambda _: None)

    async def read(count: int) -> list[bytes]:
        chunks = aiter(stream)
        return [await anext(chunks) for _ in range(count)]

    assert asyncio.run(read(4)) == [b"retry: 2000\n\n", first.encode(), b": \n\n", b": \n\n"]
