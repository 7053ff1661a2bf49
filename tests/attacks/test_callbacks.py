"""Callbacks that fill Redis, break their receivers, or poison the queue."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from ipaddress import ip_network
from typing import Any

import pytest
from rest.tests.conftest import Start
from rest.tests.service import FRAME, Service

from msaas.jobs import Job, JobError, JobState
from msaas.webhooks.dispatcher import Dispatcher
from msaas.webhooks.sender import post
from tests.attacks.test_uploads import gauge
from tests.faults.songs import song
from tests.receiver import Receiver, status
from tests.servers import RedisServer
from tests.system import System
from tests.worker_pool import WorkerPool

MIB = 1024 * 1024
SONG = FRAME * 100
LARGE = {"url": "http://127.0.0.1:9/", "data": "x" * 64_000}
LOOPBACK = [ip_network("127.0.0.0/8")]


#: Number of posts, and limit of Redis in MiB.
attacks = pytest.mark.parametrize(
    ("posts", "limit_mib"), [(250, 10), pytest.param(2000, 32, marks=pytest.mark.chaos)]
)


@pytest.fixture
def service(start: Start, own_redis: RedisServer) -> Service:
    return start(REDIS_PORT=str(own_redis.port))


@contextmanager
def memory_limited(server: RedisServer, *, limit_mib: int) -> Iterator[list[int]]:
    """Limit the memory of the server, and note `used_memory` every 5 ms."""
    client, done, seen = server.client(), threading.Event(), [0]
    client.config_set("maxmemory", f"{limit_mib}mb")

    def watch() -> None:
        while not done.wait(0.005):
            seen.append(client.info("memory")["used_memory"])

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def send(service: Service, mp3: bytes, *, callback: Any) -> str:
    answer = service.send_as_form({"mp3": mp3}, data={"callback": json.dumps(callback)})
    return "accepted" if answer.ok else answer.json()["type"].rpartition(":")[2]


def send_many(service: Service, songs: Iterator[bytes]) -> Counter[str]:
    with ThreadPoolExecutor(8) as threads:
        return Counter(threads.map(lambda mp3: send(service, mp3, callback=LARGE), songs))


@pytest.mark.long
@pytest.mark.fault("T3")
@attacks
def test_callbacks_of_a_finished_song_do_not_fill_redis(
    service: Service, own_redis: RedisServer, figure: Callable[[str], None], posts: int, limit_mib: int
) -> None:
    service.send(SONG)
    service.work()
    with memory_limited(own_redis, limit_mib=limit_mib) as used:
        answers = send_many(service, (SONG for _ in range(posts)))
    figure(
        f"{posts} posts for a finished song: {dict(answers)}, peak {max(used) / MIB:.1f} of {limit_mib} MiB"
    )
    assert max(used) <= (limit_mib + 1) * MIB
    assert set(answers) == {"accepted", "too_many_callbacks"}
    assert send(service, SONG + b"another", callback={"url": "http://127.0.0.1:9/"}) == "accepted"
    service.work()


@pytest.mark.long
@pytest.mark.fault("T3")
@attacks
def test_callbacks_of_many_songs_do_not_fill_redis(
    service: Service, own_redis: RedisServer, figure: Callable[[str], None], posts: int, limit_mib: int
) -> None:
    with memory_limited(own_redis, limit_mib=limit_mib) as used:
        answers = send_many(service, (SONG + b"%04d" % number for number in range(posts)))
        other = service.send(SONG)
        for _ in range(10):
            service.work()
    figure(f"{posts} songs: {dict(answers)}, 10 finished, peak {max(used) / MIB:.1f} of {limit_mib} MiB")
    assert max(used) <= (limit_mib + 1) * MIB
    assert set(answers) == {"accepted", "queue_full"}
    assert other.ok or other.json()["type"] == "urn:msaas:error:queue_full"
    assert gauge(service, "msaas_queue_memory_limit_bytes") == limit_mib * MIB
    assert gauge(service, "msaas_queue_memory_bytes") > 0.5 * limit_mib * MIB
    with Receiver([status(204)]) as receiver:
        send_all = partial(post_to, receiver.url)
        Dispatcher(outbox=service.outbox, send=send_all).deliver_all()
        assert len(receiver.received) == 10
    # Delivered callbacks keep no payload.
    assert service.send(SONG).ok


def post_to(receiver: str, url: str, body: bytes, *, headers: Any) -> None:
    post(receiver, body, headers=headers, private=LOOPBACK)


@pytest.mark.fault("T10")
def test_poisoned_jobs_do_not_stop_a_worker(
    system: System, pool: WorkerPool, figure: Callable[[str], None]
) -> None:
    client = system.redis.client()
    poisoned = [system.send(song(number)) for number in range(3)]
    for job_id in poisoned:
        client.delete(f"job:{job_id}")
        client.set(f"job:{job_id}", "x")
    good = system.send(song(3))
    worker = pool.start()
    assert system.wait_for_end(good).state is JobState.DONE
    letters = [json.loads(each) for each in client.lrange("toWorkers:dead", 0, -1)]
    assert len(letters) == 3
    assert all("another type" in each["reason"] for each in letters)
    assert worker.is_alive()
    figure("3/3 poisoned jobs in the dead-letter list, the next job done")


@pytest.mark.fault("T10")
def test_invalid_fields_of_a_job_are_answered(
    service: Service, own_redis: RedisServer, figure: Callable[[str], None]
) -> None:
    job_id = service.send(SONG).json()["songhash"]
    answers = 0
    for field in ("state", "progress", "attempts", "stems", "error", "created_at", "finished_at"):
        for value in ("nan", "inf", "weird", "-1", "1e999", "[]", "{}", "\x00"):
            own_redis.client().hset(f"job:{job_id}", field, value)
            answer = service.get(f"/apiv1/job/{job_id}")
            assert answer.status_code == 200, (field, value, answer.text)
            json.loads(answer.text, parse_constant=pytest.fail)
            answers += 1
    figure(f"{answers} invalid fields: 200 and strict JSON each")


@pytest.mark.fault("T12")
@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity"])
def test_infinite_number_is_refused_by_the_api(service: Service, number: str) -> None:
    callback = f'{{"url": "http://there/", "data": [{number}]}}'
    answer = service.send_as_form({"mp3": SONG}, data={"callback": callback})
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:msaas:error:invalid_callback")
    assert service.queue.waiting() == []


@pytest.mark.fault("T12")
def test_failure_reaches_a_receiver_that_asks_for_it(service: Service, figure: Callable[[str], None]) -> None:
    with Receiver([status(503, **{"Retry-After": "3600"}), status(204)]) as receiver:
        callback = {"url": receiver.url, "data": {"mine": 1}, "events": ["done", "failed"]}
        assert send(service, SONG, callback=callback) == "accepted"
        worker = service.queue.consumer("w")
        payload = worker.take(timeout_s=1)
        assert payload is not None
        job = Job.decode(payload)
        error = {"code": "undecodable_song", "title": "The song cannot be decoded.", "detail": "No frame."}
        worker.fail(worker.claim(job, payload=payload), JobError(**error))
        dispatcher = Dispatcher(outbox=service.outbox, send=partial(post, private=LOOPBACK))
        dispatcher.deliver_all()
        (delivery,) = service.outbox.deliveries(job.job_id)
        assert delivery.due_at is not None
        delay_s = delivery.due_at - time.time()
        service.outbox.redeliver(delivery.id, job_id=job.job_id)
        dispatcher.deliver_all()
    figure(f"503 with `Retry-After: 3600`: next attempt in {delay_s:.0f} s; a failure is sent with `data`")
    assert 3590 <= delay_s <= 3600
    assert [json.loads(each.body) for each in receiver.received] == 2 * [
        {"songhash": job.job_id, "state": "failed", "error": error, "data": {"mine": 1}}
    ]
