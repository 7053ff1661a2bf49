"""Outages of Redis or the store: 503 within 2 s, and nothing is stored or enqueued in part."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from rest.tests.conftest import Start
from rest.tests.in_memory import client_on, send
from rest.tests.service import Service

from msaas.queue.memory import InMemoryQueue
from msaas.queue.redis.keys import Keys
from msaas.songs import song_hash
from tests.servers import RcloneServer, RedisServer, S3Access, free_port, redis_running, wait_until
from tests.tcp_proxy import TcpProxy, tcp_proxy

_ANSWER_S = 2.0
_PATHS = ["/apiv1/queue", "/apiv1/job/abc", "/readyz"]


@pytest.fixture(scope="module")
def _mortal_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_running(tmp_path_factory.mktemp("mortal-redis"), aof=True) as server:
        yield server


@pytest.fixture
def own_redis(_mortal_redis: RedisServer) -> RedisServer:
    """A server that the test may kill, pause or fill. It runs, and is empty, when the test begins."""
    _mortal_redis.resume()
    if not _mortal_redis.processes:
        _mortal_redis.start()
    _mortal_redis.client().replicaof("NO", "ONE")
    _mortal_redis.client().config_set("maxmemory", "0")
    _mortal_redis.client().flushall()
    return _mortal_redis


@pytest.fixture
def service(shared: Start, own_redis: RedisServer) -> Service:
    return shared(REDIS_PORT=str(own_redis.port), DEBUG_ENDPOINTS="1")


def assert_unavailable_soon(answer: requests.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.elapsed.total_seconds() <= _ANSWER_S
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Content-Type"] == "application/problem+json"


def songs_in(service: Service) -> list[str]:
    service.song_store.prepare()
    return [song.key for song in service.song_store.songs()]


def test_killed_redis_is_503_and_nothing_is_stored(
    service: Service, own_redis: RedisServer, song: bytes
) -> None:
    own_redis.kill()
    assert_unavailable_soon(service.send(song))
    for path in _PATHS:
        assert_unavailable_soon(service.get(path))
    assert service.get("/healthz").ok
    assert service.get("/metrics").ok
    assert songs_in(service) == []


@pytest.mark.parametrize("fault", ["kill", "pause"])
def test_models_and_limits_are_listed_without_redis(
    service: Service, own_redis: RedisServer, fault: str
) -> None:
    getattr(own_redis, fault)()
    models, limits = (service.get(f"/apiv1/{name}") for name in ("models", "limits"))
    for answer in (models, limits):
        assert answer.status_code == 200
        assert answer.elapsed.total_seconds() <= _ANSWER_S
    assert {row["available"] for row in models.json()["models"]} == {None}
    available = {row["name"]: row["available"] for row in limits.json()["formats"]}
    assert (available["mp3"], available["m4a"]) == (True, None)
    assert {row["available"] for row in limits.json()["inputs"]} == {True, None}


def test_silent_redis_is_503_and_threads_do_not_pile_up(
    service: Service, own_redis: RedisServer, song: bytes
) -> None:
    own_redis.pause()
    for _ in range(2):
        assert_unavailable_soon(service.send(song))
        assert_unavailable_soon(service.get("/apiv1/queue"))
    # Less than a request that asks Redis waits for it.
    assert service.get("/healthz").elapsed.total_seconds() < 1.0
    own_redis.resume()
    assert service.send(song).status_code == 200


def test_service_recovers_when_redis_is_back(service: Service, own_redis: RedisServer, song: bytes) -> None:
    assert service.send(song).status_code == 200
    own_redis.kill()
    assert_unavailable_soon(service.get("/apiv1/queue"))
    own_redis.start()
    wait_until(lambda: service.get("/readyz").ok, timeout_s=5)
    assert service.get("/apiv1/queue").json() == {"queue": [song_hash(song)]}


def test_full_redis_is_503_and_nothing_is_enqueued(
    service: Service, own_redis: RedisServer, song: bytes
) -> None:
    own_redis.client().config_set("maxmemory", "1")
    answer = service.send(song)
    assert_unavailable_soon(answer)
    assert answer.json()["type"].endswith("queue_full")
    own_redis.client().config_set("maxmemory", "0")
    assert service.queue.waiting() == []


def assert_nothing_enqueued(redis: RedisServer) -> None:
    """Redis may know that the song was asked for, so that retention spares it."""
    keys = [*redis.client().keys("toWorkers*"), *redis.client().keys("job:*")]
    assert [key for key in keys if not key.startswith(b"toWorkers:requested:")] == []


def fill(redis: RedisServer) -> None:
    redis.client().config_set("maxmemory", "1")


def make_replica(redis: RedisServer) -> None:
    """Of a server that does not exist: it stays read-only with its data."""
    redis.client().replicaof("127.0.0.1", free_port())


def change_type(redis: RedisServer) -> None:
    redis.client().set("toWorkers", "text")


@pytest.mark.parametrize(
    ("damage", "code"),
    [(fill, "queue_full"), (make_replica, "queue_unavailable"), (change_type, "queue_unavailable")],
)
def test_service_is_not_ready_while_no_song_can_be_enqueued(
    service: Service, own_redis: RedisServer, song: bytes, damage: Callable[[RedisServer], None], code: str
) -> None:
    assert service.get("/readyz").ok
    damage(own_redis)
    for answer in (service.send(song), service.get("/readyz")):
        assert_unavailable_soon(answer)
        assert answer.json()["type"] == f"urn:msaas:error:{code}"
    own_redis.client().replicaof("NO", "ONE")
    own_redis.client().config_set("maxmemory", "0")
    own_redis.client().delete("toWorkers")
    assert service.get("/readyz").ok
    assert service.queue.waiting() == []
    assert service.send(song).status_code == 200


KEYS = Keys()


@pytest.mark.parametrize(
    "key",
    [
        *(KEYS.waiting, KEYS.alias, KEYS.delayed, KEYS.workers, KEYS.index),
        *(KEYS.held, KEYS.held_bytes, KEYS.private_songs),
    ],
)
def test_service_is_not_ready_while_a_key_has_another_type(
    service: Service, own_redis: RedisServer, song: bytes, key: str
) -> None:
    client = own_redis.client()
    client.rpush(key, "text") if key == KEYS.held_bytes else client.set(key, "text")
    with_callback = {"callback": '{"url": "http://localhost:1"}'}
    for answer in (service.send(song, params=with_callback), service.get("/readyz")):
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:msaas:error:queue_unavailable")
    client.delete(key)
    assert service.get("/readyz").ok


@pytest.fixture(scope="module")
def _s3_wire(_rclone: RcloneServer) -> Iterator[TcpProxy]:
    host, port = _rclone.access.host.split(":")
    with tcp_proxy(host, int(port)) as proxy:
        yield proxy


@pytest.fixture
def s3_wire(_s3_wire: TcpProxy, s3_server: S3Access) -> TcpProxy:
    """The wire between the service and the store, which is empty when the test begins."""
    _s3_wire.mend()
    return _s3_wire


@pytest.fixture
def s3_service(shared: Start, s3_server: S3Access, s3_wire: TcpProxy) -> Service:
    return shared(STORE_DIR="", **{**s3_server.environment, "MINIO_HOST": s3_wire.address})


@pytest.mark.parametrize("fault", ["refuse", "silence"])
@pytest.mark.parametrize("is_connected", [True, False])
def test_unreachable_store_is_503_and_nothing_is_enqueued(
    s3_service: Service,
    s3_wire: TcpProxy,
    song: bytes,
    redis_server: RedisServer,
    fault: str,
    is_connected: bool,
) -> None:
    assert s3_service.get("/readyz").ok
    if not is_connected:
        s3_wire.cut()
    getattr(s3_wire, fault)()
    assert_unavailable_soon(s3_service.send(song))
    assert_unavailable_soon(s3_service.get("/apiv1/track/abc/vocals"))
    assert_unavailable_soon(s3_service.get("/readyz"))
    assert_nothing_enqueued(redis_server)
    s3_wire.mend()
    assert s3_service.send(song).status_code == 200
    assert s3_service.queue.waiting() == [song_hash(song)]


def test_store_that_breaks_during_the_upload_is_503_and_nothing_is_enqueued(
    s3_service: Service, s3_wire: TcpProxy, song: bytes, redis_server: RedisServer
) -> None:
    """The job must not be in Redis before the song is in the store."""
    passed = 0

    def cut_after_some(fragment: bytes) -> bytes:
        nonlocal passed
        passed += len(fragment)
        if passed > len(song) // 2:
            s3_wire.refuse()
        return fragment

    s3_wire.requests = cut_after_some
    assert s3_service.send(song).status_code == 503
    assert_nothing_enqueued(redis_server)
    s3_wire.mend()
    assert songs_in(s3_service) == []


def test_unwritable_store_folder_is_503(song: bytes, tmp_path: Path) -> None:
    queue = InMemoryQueue()
    (tmp_path / "input-tracks").write_text("a file where a folder should be")
    client = client_on(store_dir=tmp_path, queue=queue)
    for answer in (send(client, song), client.get("/readyz")):
        assert (answer.status_code, answer.json["type"]) == (503, "urn:msaas:error:store_unavailable")  # type: ignore[index]
    assert queue.waiting() == []


def test_lost_redis_costs_log_lines_only(service: Service, own_redis: RedisServer) -> None:
    own_redis.kill()
    started = time.monotonic()
    for _ in range(50):
        assert service.get("/healthz").ok
        assert service.get("/apiv1/nothing").status_code == 404
    assert time.monotonic() - started < 10
