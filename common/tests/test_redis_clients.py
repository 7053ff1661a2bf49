"""Redis clients: an unreachable, silent, locked or full server is reported soon."""

import time

import pytest
import redis

from common.tests.steps import OOPS, RESULT, claim_next
from msaas.errors import QueueFull, QueueUnavailable
from msaas.jobs import Job
from msaas.queue.protocol import QueuePolicy
from msaas.queue.redis.clients import RedisAddress, our_errors
from msaas.queue.redis.jobs import RedisQueue
from msaas.queue.redis.outbox import RedisOutbox
from tests.servers import RedisServer, free_port
from tests.tcp_proxy import tcp_proxy

SONG = "a" * 64
#: An API call has this long to report an unreachable queue.
SOON_S = 2.0


def test_refused_connection_is_reported_soon() -> None:
    address = RedisAddress("127.0.0.1", free_port())
    queue = RedisQueue(address)
    began = time.monotonic()
    for call in (
        queue.ping,
        lambda: queue.enqueue(Job(job_id=SONG)),
        queue.waiting,
        queue.depth,
        lambda: queue.status(SONG),
        queue.reap,
        lambda: queue.consumer("w1").take(timeout_s=1),
        queue.consumer("w1").heartbeat,
        lambda: RedisOutbox(address).receive(visibility_s=1),
    ):
        with pytest.raises(QueueUnavailable):
            call()
    assert time.monotonic() - began < SOON_S


def test_silent_server_is_reported_within_two_seconds(redis_server: RedisServer) -> None:
    with tcp_proxy("127.0.0.1", redis_server.port) as between:
        queue = RedisQueue(RedisAddress(between.host, between.port))
        queue.ping()
        between.silence()
        began = time.monotonic()
        with pytest.raises(QueueUnavailable):
            queue.enqueue(Job(job_id=SONG))
        assert time.monotonic() - began < SOON_S
        between.mend()
        queue.enqueue(Job(job_id="b" * 64))


def test_unresolvable_host_is_queue_unavailable() -> None:
    with pytest.raises(QueueUnavailable):
        RedisQueue(RedisAddress("no-such-host.invalid", 6379)).ping()


def test_wrong_type_of_key_is_queue_unavailable(redis_server: RedisServer) -> None:
    redis_server.client().set("toWorkers", "a string")
    with pytest.raises(QueueUnavailable):
        RedisQueue(redis_server.address).waiting()


def test_password_is_sent(redis_server: RedisServer) -> None:
    client = redis_server.client()
    client.config_set("requirepass", "hush")
    try:
        with pytest.raises(QueueUnavailable):
            RedisQueue(redis_server.address).ping()
        RedisQueue(RedisAddress("127.0.0.1", redis_server.port, password="hush")).ping()
    finally:
        client.config_set("requirepass", "")


@pytest.fixture
def full_server(redis_server: RedisServer):  # type: ignore[no-untyped-def]
    client = redis_server.client()
    RedisQueue(redis_server.address).enqueue(Job(job_id=SONG))
    RedisQueue(redis_server.address).enqueue(Job(job_id="b" * 64))
    client.config_set("maxmemory", "1mb")
    yield redis_server
    client.config_set("maxmemory", "0")


def test_full_server_refuses_enqueue_and_runs_every_other_step(full_server: RedisServer) -> None:
    queue = RedisQueue(full_server.address, policy=QueuePolicy(max_attempts=3))
    with pytest.raises(QueueFull):
        queue.enqueue(Job(job_id="c" * 64))
    worker = queue.consumer("new-worker")
    worker.retry(claim_next(worker), OOPS)
    worker.release(claim_next(worker))
    worker.release(claim_next(worker), delay_s=0.001)
    time.sleep(0.01)
    queue.reap()
    for _ in range(2):
        claim = claim_next(worker)
        worker.renew(claim, progress=0.5)
        worker.finish(claim, RESULT)
    full_server.client().ping()
    assert queue.depth().in_flight == 0
    assert worker.take(timeout_s=0.05) is None
    worker.deregister()


def test_out_of_memory_in_a_script_is_queue_full() -> None:
    """Some servers wrap the error of a command in that of the script."""
    with pytest.raises(QueueFull), our_errors():
        raise redis.exceptions.ResponseError("ERR Error running script: -OOM command not allowed")


def test_databases_do_not_share_a_queue(redis_server: RedisServer) -> None:
    RedisQueue(redis_server.address).enqueue(Job(job_id=SONG))
    assert RedisQueue(RedisAddress("127.0.0.1", redis_server.port, db=1)).waiting() == []


def test_alias_list_is_served(redis_server: RedisServer) -> None:
    redis_server.client().lpush("toWorker", SONG)
    queue = RedisQueue(redis_server.address)
    assert queue.depth().waiting == 1
    assert queue.consumer("w1").take(timeout_s=0.05) == SONG.encode()


def test_push_ends_a_wait_at_once(redis_server: RedisServer) -> None:
    import threading

    queue = RedisQueue(redis_server.address)
    threading.Timer(0.2, lambda: redis_server.client().lpush("toWorkers", SONG)).start()
    began = time.monotonic()
    assert queue.consumer("w1").take(timeout_s=1) == SONG.encode()
    assert time.monotonic() - began < 1.0
