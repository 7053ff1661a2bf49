"""Redis is killed, silenced, filled up and made to lose its replies: what was answered is kept."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from msaas.errors import QueueUnavailable
from msaas.jobs import Job, JobState
from msaas.redis_clients import RedisAddress
from msaas.redis_queue import RedisQueue
from tests.faults.conftest import POLICY, House
from tests.faults.songs import song
from tests.faults.workers import Crew
from tests.servers import RedisServer, wait_until
from tests.wire import Cut, Wire

Figure = Callable[[str], None]
RESUMED_S = 10.0


class Clients(threading.Thread):
    """Enqueues one job after the other, and notes those that were answered."""

    def __init__(self, address: RedisAddress, *, name: str, jobs: int) -> None:
        super().__init__(daemon=True)
        self._queue = RedisQueue(address)
        self._ids = [f"{name}-{number}" for number in range(jobs)]
        self.answered: list[str] = []
        self.failed = 0
        self.started_again = threading.Event()

    def run(self) -> None:
        for job_id in self._ids:
            try:
                self._queue.enqueue(Job(job_id))
                self.answered.append(job_id)
            except QueueUnavailable:
                self.failed += 1
                # Else all would be used up while a crowded machine starts the server.
                time.sleep(0.2)


@pytest.mark.fault("R5")
def test_what_was_answered_survives_a_kill(own_redis: RedisServer, figure: Figure) -> None:
    clients = [Clients(own_redis.address, name=f"client{number}", jobs=125) for number in range(4)]
    for client in clients:
        client.start()
    kills = 0
    for left in (400, 250, 100):
        wait_until(lambda left=left: sum(len(c.answered) + c.failed for c in clients) > 500 - left)
        own_redis.kill()
        own_redis.start()
        kills += 1
    for client in clients:
        client.join()
    waiting = set(RedisQueue(own_redis.address).waiting())
    answered = {job_id for client in clients for job_id in client.answered}
    assert answered <= waiting
    assert len(answered) > 200
    figure(f"{kills} kills during 500 enqueues: {len(answered)} answered, 0 of them lost")


@pytest.mark.fault("R5")
def test_workers_go_on_by_themselves_when_redis_is_back(house: House, crew: Crew, figure: Figure) -> None:
    crew.start(ENGINE_PACE="2")
    amid = house.send(song(0, seconds=2))
    waiting = house.send(song(1))
    wait_until(lambda: house.status(amid).progress > 0.1)
    house.redis.kill()
    time.sleep(1.0)
    house.redis.start()
    back_at = time.monotonic()
    house.ended(amid, waiting)
    later = house.send(song(2))
    sent_at = time.monotonic()
    house.ended(later, timeout_s=RESUMED_S)
    assert {house.status(job_id).state for job_id in (amid, waiting, later)} == {JobState.DONE}
    assert len(crew.workers) == len(crew.alive()) == 1
    took_s = time.monotonic() - sent_at
    figure(f"jobs done {sent_at - back_at:.1f} s after Redis was back, the next in {took_s:.1f} s")


@pytest.mark.fault("R6")
def test_a_worker_outlives_a_silent_redis(house: House, crew: Crew, figure: Figure) -> None:
    between = Wire("127.0.0.1", house.redis.port)
    worker = crew.start(REDIS_PORT=str(between.port))
    between.silence()
    worker.wait_until_said("queue_away", timeout_s=15)
    between.mend()
    back_at = time.monotonic()
    job_id = house.send(song())
    house.ended(job_id, timeout_s=RESUMED_S)
    assert worker.is_alive()
    assert len(worker.said("queue_away")) == 1
    figure(f"a worker took work {time.monotonic() - back_at:.1f} s after the silence")


@pytest.mark.fault("R7")
def test_a_full_redis_lets_workers_finish(house: House, crew: Crew, figure: Figure) -> None:
    client = house.redis.client()
    ids = [house.send(song(number)) for number in range(5)]
    bystander = "x" * 1000
    client.set("bystander", bystander)
    client.config_set("maxmemory", "1mb")
    crew.start()
    house.ended(*ids)
    assert {house.status(job_id).state for job_id in ids} == {JobState.DONE}
    assert client.get("bystander") == bystander.encode()
    assert client.info("stats")["evicted_keys"] == 0
    house.nothing_is_left()
    figure("5/5 finished on a full server, 0 evicted")


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.fault("R8")
def test_three_idle_minutes_harm_nobody(house: House, crew: Crew, figure: Figure) -> None:
    worker = crew.start()
    time.sleep(185)
    job_id = house.put(song())
    pushed_at = time.monotonic()
    house.redis.client().lpush("toWorkers", job_id)
    wait_until(lambda: house.queue.status(job_id), every_s=0.01)
    taken_s = time.monotonic() - pushed_at
    assert taken_s <= 1
    house.ended(job_id)
    assert worker.is_alive()
    assert not worker.said("queue_away")
    assert "Traceback" not in worker.log.read_text()
    figure(f"idle 185 s: no exception, the next push taken after {taken_s * 1000:.0f} ms")


#: What the request holds and what its reply holds. A worker that waits has asked long ago.
LOST = {
    "move": (b"", b"songhash"),
    "claim": (b"EVALSHA", b"claimed"),
    "finish": (b'"drums"', b":1\r\n"),
}


class LoseOne:
    """Breaks the connection between a request that holds one piece and its reply that holds another, once."""

    def __init__(self, between: Wire, request: bytes, reply: bytes) -> None:
        self._request, self._reply = request, reply
        self._asked = not request
        self.lost = 0
        between.requests, between.replies = self._see, self._lose

    def _see(self, piece: bytes) -> bytes:
        self._asked = self._asked or self._request in piece
        return piece

    def _lose(self, piece: bytes) -> bytes:
        if self._asked and self._reply in piece and not self.lost:
            self.lost += 1
            raise Cut
        return piece


@pytest.mark.fault("R9")
@pytest.mark.parametrize("step", LOST)
def test_a_reply_that_never_arrives_leaves_nothing_stuck(
    house: House, crew: Crew, figure: Figure, step: str
) -> None:
    between = Wire("127.0.0.1", house.redis.port)
    crew.start(REDIS_PORT=str(between.port))
    # The scripts are known to the server, the worker waits in BLMOVE.
    house.ended(house.send(song(100)))
    losing = LoseOne(between, *LOST[step])
    job_id = house.send(song())
    sent_at = time.monotonic()
    [status] = house.ended(job_id, timeout_s=POLICY.lease_s + POLICY.sweep_s + RESUMED_S)
    took_s = time.monotonic() - sent_at
    assert losing.lost == 1
    assert (status.state, status.attempts) == (JobState.DONE, 1)
    wait_until(lambda: house.queue.depth().in_flight == 0, timeout_s=RESUMED_S)
    house.nothing_is_left()
    assert len(crew.said("song_separated", job=job_id)) == 1
    figure(f"{step}: done after {took_s:.1f} s")


BAD_ENTRIES: list[bytes] = [
    b"{not json",
    b"",
    b"[]",
    b"{}",
    b'{"model": "htdemucs"}',
    b'{"songhash": "../../etc/passwd"}',
    b'{"songhash": 7}',
    b"[" * 10_000 + b"]" * 10_000,
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    b"x" * 5_000_000,
    bytes(range(256)) * 4,
    b'{"songhash": "abc", "callback": {"url": "http://a/\\ud800"}}',
]


@pytest.mark.fault("R12")
def test_what_is_no_job_lies_with_the_dead_and_says_why(house: House, crew: Crew, figure: Figure) -> None:
    worker = crew.start()
    client = house.redis.client()
    good = house.put(song())
    client.lpush("toWorkers", *BAD_ENTRIES, good)
    house.ended(good)
    letters: list[dict[str, Any]] = [json.loads(each) for each in client.lrange("toWorkers:dead", 0, -1)]
    assert len(letters) == len(BAD_ENTRIES)
    assert all(letter["reason"] for letter in letters)
    assert [letter["bytes"] for letter in reversed(letters)] == [len(entry) for entry in BAD_ENTRIES]
    assert max(len(each) for each in client.lrange("toWorkers:dead", 0, -1)) < 200_000
    assert worker.is_alive()
    house.nothing_is_left()
    figure(f"{len(BAD_ENTRIES)}/{len(BAD_ENTRIES)} in the dead list with a reason")
