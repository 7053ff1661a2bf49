"""A queue on each backend, with the actions of a test from outside."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from msaas.queue.history import HistoryQueue
from msaas.queue.memory import InMemoryQueue
from msaas.queue.outbox import Outbox
from msaas.queue.protocol import JobQueue, QueuePolicy
from msaas.queue.redis.history import RedisHistory
from msaas.queue.redis.jobs import RedisQueue
from msaas.queue.redis.keys import Keys
from msaas.queue.redis.outbox import RedisOutbox
from msaas.queue.redis.song_registry import RedisSongRegistry
from msaas.queue.song_registry import SongRegistry
from tests.servers import RedisServer

#: No test waits for a lease; `pass_time` moves the times instead.
POLICY = QueuePolicy(lease_s=60.0, max_attempts=3, max_dead=5)


@dataclass
class QueueBench:
    """A queue and the actions of a test from outside."""

    queue: JobQueue
    registry: SongRegistry
    history: HistoryQueue
    outbox: Outbox
    #: Push an entry by hand.
    push: Callable[[bytes], Any]
    #: Let this many seconds pass.
    pass_time: Callable[[float], Any]
    #: Dead letters, newest first.
    dead: Callable[[], list[bytes]]


def redis_bench(server: RedisServer, *, policy: QueuePolicy = POLICY) -> QueueBench:
    client, keys = server.client(), Keys()
    return QueueBench(
        RedisQueue(server.address, policy=policy),
        RedisSongRegistry(server.address),
        RedisHistory(server.address),
        RedisOutbox(server.address, policy=policy),
        push=lambda payload: client.lpush(keys.waiting, payload),
        pass_time=lambda seconds: shift_times(client, keys, seconds),
        dead=lambda: client.lrange(keys.dead, 0, -1),
    )


def shift_times(client: Any, keys: Keys, seconds: float) -> None:
    """Move every time in Redis into the past."""
    for name in (keys.workers, keys.delayed, keys.outbox, keys.removals):
        for member, score in client.zrange(name, 0, -1, withscores=True):
            client.zadd(name, {member: score - seconds})
    for job in client.scan_iter("job:*", _type="HASH"):
        for field in ("lease_until", "created_at", "enqueued_at"):
            if at := client.hget(job, field):
                client.hset(job, field, float(at) - seconds)
    for pattern in (keys.lock("*"), keys.requested("*"), keys.deletion("*"), keys.published("*")):
        for mark in client.scan_iter(pattern):
            client.pexpire(mark, max(1, client.pttl(mark) - int(1000 * seconds)))


def memory_bench(*, policy: QueuePolicy = POLICY) -> QueueBench:
    clock = Clock()
    queue = InMemoryQueue(policy=policy, clock=clock)
    return QueueBench(
        queue,
        queue.registry,
        queue.history,
        queue.outbox,
        push=queue.push,
        pass_time=clock.advance,
        dead=lambda: [str(letter["payload"]).encode() for letter in queue.dead_letters],
    )


class Clock:
    """Real time plus the seconds of `advance`."""

    def __init__(self) -> None:
        self._ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self._ahead_s

    def advance(self, seconds: float) -> None:
        self._ahead_s += seconds
