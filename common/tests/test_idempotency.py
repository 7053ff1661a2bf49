"""Idempotency keys on each backend: one reply for equal requests."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from common.tests.backends import Clock
from msaas.errors import IdempotencyKeyReused, QueueUnavailable, RequestInProgress
from msaas.queue.idempotency import IN_PROGRESS_S, KEPT_S, Idempotency, IdempotentRequest
from msaas.queue.memory.idempotency import InMemoryIdempotency
from msaas.queue.redis.clients import RedisAddress
from msaas.queue.redis.idempotency import RedisIdempotency
from msaas.queue.redis.keys import Keys
from tests.servers import RedisServer, free_port

LIMITS = {"max_own": 3, "max_all": 5}
REPLY = {"hash": "a", "request_id": "b"}


@dataclass
class Bench:
    idempotency: Idempotency
    pass_time: Callable[[float], Any]


@pytest.fixture(params=["memory", "redis"])
def bench(request: pytest.FixtureRequest) -> Bench:
    if request.param == "memory":
        clock = Clock()
        return Bench(InMemoryIdempotency(clock=clock, **LIMITS), clock.advance)
    server: RedisServer = request.getfixturevalue("redis_server")

    def pass_time(seconds: float) -> None:
        client = server.client()
        for record in client.scan_iter(Keys().idempotent("?" * 64)):
            left_ms = client.pttl(record) - int(1000 * seconds)
            # Redis deletes a key whose time is over.
            client.pexpire(record, left_ms)

    return Bench(RedisIdempotency(server.address, **LIMITS), pass_time)


def ask(key: str = "k", *, owner: str = "ann", digest: str = "song") -> IdempotentRequest:
    return IdempotentRequest(owner, key, digest)


def test_equal_request_gets_the_reply_of_the_first(bench: Bench) -> None:
    first = ask()
    assert bench.idempotency.begin(first) is None
    bench.idempotency.complete(first, reply=REPLY)
    assert bench.idempotency.begin(ask()) == REPLY
    bench.pass_time(KEPT_S - 60)
    assert bench.idempotency.begin(ask()) == REPLY


def test_reply_expires_after_a_day(bench: Bench) -> None:
    first = ask()
    bench.idempotency.begin(first)
    bench.idempotency.complete(first, reply=REPLY)
    bench.pass_time(KEPT_S + 1)
    assert bench.idempotency.begin(ask()) is None


def test_second_request_is_refused_while_the_first_is_in_progress(bench: Bench) -> None:
    bench.idempotency.begin(ask())
    with pytest.raises(RequestInProgress):
        bench.idempotency.begin(ask())


@pytest.mark.parametrize("is_complete", [False, True])
def test_key_of_another_request_is_refused(bench: Bench, is_complete: bool) -> None:
    first = ask()
    bench.idempotency.begin(first)
    if is_complete:
        bench.idempotency.complete(first, reply=REPLY)
    with pytest.raises(IdempotencyKeyReused):
        bench.idempotency.begin(ask(digest="another"))


def test_keys_of_two_owners_are_different(bench: Bench) -> None:
    bench.idempotency.begin(ask(owner="ann"))
    assert bench.idempotency.begin(ask(owner="bob", digest="another")) is None


def test_owner_forgets_its_oldest_records(bench: Bench) -> None:
    bench.idempotency.begin(ask("x", owner="bob"))
    for key in "abcd":
        bench.idempotency.begin(ask(key))
    known = {key for key in "abcd" if bench.idempotency.knows("ann", key)}
    assert known == set("bcd")
    assert bench.idempotency.knows("bob", "x")


def test_oldest_records_of_all_are_forgotten(bench: Bench) -> None:
    for number in range(7):
        bench.idempotency.begin(ask("k", owner=f"owner {number}"))
    known = [number for number in range(7) if bench.idempotency.knows(f"owner {number}", "k")]
    assert known == [2, 3, 4, 5, 6]


def test_failed_request_releases_its_key(bench: Bench) -> None:
    first = ask()
    bench.idempotency.begin(first)
    bench.idempotency.release(first)
    assert bench.idempotency.begin(ask(digest="another")) is None


def test_request_of_a_dead_process_releases_its_key(bench: Bench) -> None:
    bench.idempotency.begin(ask())
    bench.pass_time(IN_PROGRESS_S + 1)
    assert bench.idempotency.begin(ask()) is None


@pytest.mark.parametrize("end", ["complete", "release"])
def test_late_end_of_an_expired_request_changes_nothing(bench: Bench, end: str) -> None:
    late = ask()
    bench.idempotency.begin(late)
    bench.pass_time(IN_PROGRESS_S + 1)
    bench.idempotency.begin(ask())
    if end == "complete":
        bench.idempotency.complete(late, reply=REPLY)
    else:
        bench.idempotency.release(late)
    with pytest.raises(RequestInProgress):
        bench.idempotency.begin(ask())


def test_begin_fails_without_redis() -> None:
    with pytest.raises(QueueUnavailable):
        RedisIdempotency(RedisAddress(port=free_port())).begin(ask())
