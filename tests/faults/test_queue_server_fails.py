"""Redis is killed, silent or full, or its replies are lost: every answered write is kept."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from msaas.errors import QueueUnavailable
from msaas.jobs import Job, JobState
from msaas.queue.redis.clients import RedisAddress
from msaas.queue.redis.jobs import RedisQueue
from tests.faults.songs import song
from tests.servers import RedisServer, wait_until
from tests.system import POLICY, System
from tests.tcp_proxy import Cut, TcpProxy
from tests.worker_pool import WorkerPool

Figure = Callable[[str], None]
RESUMED_S = 10.0


class Client(threading.Thread):
    """Enqueues one job after the other, and notes those that were answered."""

    def __init__(self, address: RedisAddress, *, name: str, jobs: int) -> None:
        super().__init__(daemon=True)
        self._queue = RedisQueue(address)
        self._ids = [f"{name}-{number}" for number in range(jobs)]
        self.answered: list[str] = []
        self.failed = 0

    def run(self) -> None:
        for job_id in self._ids:
            try:
                self._queue.enqueue(Job(job_id=job_id))
                self.answered.append(job_id)
            except QueueUnavailable:
                self.failed += 1
                # Without the pause a client fails with all its jobs while the server starts.
                time.sleep(0.2)


@pytest.mark.fault("R5")
def test_answered_enqueues_survive_a_kill(own_redis: RedisServer, figure: Figure) -> None:
    clients = [Client(own_redis.address, name=f"client{number}", jobs=125) for number in range(4)]
    for client in clients:
        client.start()
    kills = 0
    for left in (400, 250, 100):
        wait_until(lambda left=left: sum(len(each.answered) + each.failed for each in clients) > 500 - left)
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
def test_services_resume_when_redis_is_back(system: System, pool: WorkerPool, figure: Figure) -> None:
    running = system.send(song(0, seconds=2))
    waiting = system.send(song(1))
    keeper = pool.start_keeper(ready=False)
    worker = pool.start(ENGINE_PACE="1")
    system.wait_for_progress(running)
    system.redis.kill()
    worker.wait_for_event("lease_renewal_failed", job_id=running, level="warning")
    keeper.wait_for_event("task_delayed", task="reaper")
    system.redis.start()
    back_at = time.monotonic()
    system.wait_for_ends(running, waiting)
    sent_at = time.monotonic()
    later = system.send(song(2))
    system.wait_for_end(later, timeout_s=RESUMED_S)
    took_s = time.monotonic() - sent_at
    assert {system.status(job_id).state for job_id in (running, waiting, later)} == {JobState.DONE}
    assert worker.is_alive()
    assert keeper.is_alive()
    figure(f"jobs done {sent_at - back_at:.1f} s after Redis was back, the next in {took_s:.1f} s")


@pytest.mark.fault("R6")
def test_worker_outlives_a_silent_redis(system: System, pool: WorkerPool, figure: Figure) -> None:
    proxy = TcpProxy("127.0.0.1", system.redis.port)
    worker = pool.start(REDIS_PORT=str(proxy.port))
    proxy.silence()
    worker.wait_for_event("queue_unavailable", timeout_s=15)
    proxy.mend()
    back_at = time.monotonic()
    job_id = system.send(song())
    system.wait_for_end(job_id, timeout_s=RESUMED_S)
    assert worker.is_alive()
    assert len(worker.events("queue_unavailable")) == 1
    figure(f"a worker did a job {time.monotonic() - back_at:.1f} s after the silence")


@pytest.mark.fault("R7")
def test_workers_finish_on_a_full_redis(system: System, pool: WorkerPool, figure: Figure) -> None:
    client = system.redis.client()
    ids = [system.send(song(number)) for number in range(5)]
    bystander = "x" * 1000
    client.set("bystander", bystander)
    client.config_set("maxmemory", "1mb")
    pool.start()
    statuses = system.wait_for_ends(*ids)
    assert {status.state for status in statuses} == {JobState.DONE}
    assert client.get("bystander") == bystander.encode()
    assert client.info("stats")["evicted_keys"] == 0
    system.assert_nothing_left()
    figure("5/5 finished on a full server, 0 evicted")


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.fault("R8")
def test_three_idle_minutes_raise_no_exception(system: System, pool: WorkerPool, figure: Figure) -> None:
    keeper, worker = pool.start_keeper(), pool.start()
    time.sleep(185)
    job_id = system.put(song())
    pushed_at = time.monotonic()
    system.push(job_id)
    wait_until(lambda: system.queue.status(job_id), every_s=0.01)
    taken_s = time.monotonic() - pushed_at
    assert taken_s <= 1
    system.wait_for_end(job_id)
    for process in (worker, keeper):
        assert process.is_alive()
        assert not process.events(level="warning")
        assert not process.events(level="error")
        assert "Traceback" not in process.output()
    figure(f"idle 185 s: no exception, the next push taken after {taken_s * 1000:.0f} ms")


#: A part of the request and a part of its reply. A worker that waits has sent its request long ago.
LOST = {
    "move": (b"", b"songhash"),
    "claim": (b"EVALSHA", b"claimed"),
    "finish": (b'"drums"', b":1\r\n"),
}


class LoseOne:
    """Cuts the connection between one request and its reply, once."""

    def __init__(self, proxy: TcpProxy, *, request: bytes, reply: bytes) -> None:
        self._request, self._reply = request, reply
        self._asked = not request
        self.lost = 0
        proxy.requests, proxy.replies = self._see, self._lose

    def _see(self, chunk: bytes) -> bytes:
        self._asked = self._asked or self._request in chunk
        return chunk

    def _lose(self, chunk: bytes) -> bytes:
        if self._asked and self._reply in chunk and not self.lost:
            self.lost += 1
            raise Cut
        return chunk


@pytest.mark.fault("R9")
@pytest.mark.parametrize("step", LOST)
def test_lost_reply_leaves_nothing_stuck(system: System, pool: WorkerPool, figure: Figure, step: str) -> None:
    proxy = TcpProxy("127.0.0.1", system.redis.port)
    first = system.send(song(100))
    pool.start(REDIS_PORT=str(proxy.port))
    # Afterwards the server knows the scripts and the worker waits in BLMOVE.
    system.wait_for_end(first)
    request, reply = LOST[step]
    losing = LoseOne(proxy, request=request, reply=reply)
    job_id = system.send(song())
    sent_at = time.monotonic()
    status = system.wait_for_end(job_id, timeout_s=POLICY.lease_s + POLICY.sweep_s + RESUMED_S)
    took_s = time.monotonic() - sent_at
    assert losing.lost == 1
    assert (status.state, status.attempts) == (JobState.DONE, 1)
    system.wait_until_idle(timeout_s=RESUMED_S)
    system.assert_nothing_left()
    assert len(pool.events("song_separated", job_id=job_id)) == 1
    figure(f"{step}: done after {took_s:.1f} s")


MALFORMED: list[bytes] = [
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
def test_malformed_entries_get_a_dead_letter_with_a_reason(
    system: System, pool: WorkerPool, figure: Figure
) -> None:
    good = system.put(song())
    system.push(*MALFORMED, good)
    worker = pool.start()
    system.wait_for_end(good)
    letters = system.redis.client().lrange("toWorkers:dead", 0, -1)
    dead: list[dict[str, Any]] = [json.loads(letter) for letter in reversed(letters)]
    assert [letter["bytes"] for letter in dead] == [len(entry) for entry in MALFORMED]
    assert all(letter["reason"] for letter in dead)
    assert max(map(len, letters)) < 200_000
    assert len(worker.events("entry_dead_lettered", level="warning")) == len(MALFORMED)
    assert worker.is_alive()
    system.assert_nothing_left()
    figure(f"{len(MALFORMED)}/{len(MALFORMED)} in the dead-letter list with a reason")
