"""When Redis or the store is away the client hears of it within 2 s, and nothing is half there."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from rest.tests.conftest import Start
from rest.tests.service import Service

from msaas.songs import song_hash
from tests.servers import RedisServer, S3Access, redis_running, wait_until
from tests.wire import TcpProxy

_PATIENCE_S = 2.0
_QUESTIONS = ["/apiv1/queue", "/apiv1/job/abc", "/readyz"]


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """One that may be killed."""
    with redis_running(tmp_path / "own-redis", aof=True) as server:
        yield server


@pytest.fixture
def service(start: Start, own_redis: RedisServer) -> Service:
    return start(REDIS_PORT=str(own_redis.port), DEBUG_ENDPOINTS="1")


def assert_unavailable_soon(answer: requests.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.elapsed.total_seconds() <= _PATIENCE_S
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Content-Type"] == "application/problem+json"


def songs_in(service: Service) -> list[str]:
    service.song_store.prepare()
    return [song.key for song in service.song_store.songs()]


def test_a_killed_redis_is_503_and_nothing_is_stored(
    service: Service, own_redis: RedisServer, song: bytes
) -> None:
    own_redis.kill()
    assert_unavailable_soon(service.send(song))
    for path in _QUESTIONS:
        assert_unavailable_soon(service.get(path))
    assert service.get("/healthz").ok
    assert service.get("/metrics").ok
    assert songs_in(service) == []


def test_a_silent_redis_is_503_and_threads_do_not_pile_up(
    service: Service, own_redis: RedisServer, song: bytes
) -> None:
    own_redis.pause()
    for _ in range(3):
        assert_unavailable_soon(service.send(song))
        assert_unavailable_soon(service.get("/apiv1/queue"))
    # Less than whoever asks Redis waits for it.
    assert service.get("/healthz").elapsed.total_seconds() < 1.0
    own_redis.resume()
    assert service.send(song).status_code == 200


def test_when_redis_is_back_the_service_is(service: Service, own_redis: RedisServer, song: bytes) -> None:
    assert service.send(song).status_code == 200
    own_redis.kill()
    assert_unavailable_soon(service.get("/apiv1/queue"))
    own_redis.start()
    wait_until(lambda: service.get("/readyz").ok, timeout_s=5)
    assert service.get("/apiv1/queue").json() == {"queue": [song_hash(song)]}


def test_a_full_redis_is_503_and_nothing_is_enqueued(
    service: Service, own_redis: RedisServer, song: bytes
) -> None:
    own_redis.client().config_set("maxmemory", "1")
    answer = service.send(song)
    assert_unavailable_soon(answer)
    assert answer.json()["type"].endswith("queue_full")
    own_redis.client().config_set("maxmemory", "0")
    assert service.queue.waiting() == []


@pytest.fixture
def s3_wire(s3_server: S3Access) -> Iterator[TcpProxy]:
    host, port = s3_server.host.split(":")
    wire = TcpProxy(host, int(port))
    yield wire
    wire.close()


@pytest.fixture
def s3_service(start: Start, s3_server: S3Access, s3_wire: TcpProxy) -> Service:
    return start(STORE_DIR="", **{**s3_server.environment, "MINIO_HOST": s3_wire.address})


@pytest.mark.parametrize("fault", ["refuse", "silence"])
@pytest.mark.parametrize("warm", [True, False])
def test_a_store_that_is_away_is_503_and_nothing_is_enqueued(
    s3_service: Service, s3_wire: TcpProxy, song: bytes, redis_server: RedisServer, fault: str, warm: bool
) -> None:
    if warm:
        assert s3_service.get("/readyz").ok
    getattr(s3_wire, fault)()
    assert_unavailable_soon(s3_service.send(song))
    assert_unavailable_soon(s3_service.get("/apiv1/track/abc/vocals"))
    assert_unavailable_soon(s3_service.get("/readyz"))
    assert redis_server.client().keys("toWorkers*") == []
    s3_wire.mend()
    assert s3_service.send(song).status_code == 200
    assert s3_service.queue.waiting() == [song_hash(song)]


def test_a_store_that_breaks_amid_the_upload_is_503_and_nothing_is_enqueued(
    s3_service: Service, s3_wire: TcpProxy, song: bytes, redis_server: RedisServer
) -> None:
    """Store before you announce: the job must not be in Redis before the song is in the store."""
    passed = 0

    def cut_after_some(fragment: bytes) -> bytes:
        nonlocal passed
        passed += len(fragment)
        if passed > len(song) // 2:
            s3_wire.refuse()
        return fragment

    s3_wire.requests = cut_after_some
    assert s3_service.send(song).status_code == 503
    assert redis_server.client().keys("toWorkers*") == []
    s3_wire.mend()
    assert songs_in(s3_service) == []


def test_a_store_folder_that_cannot_be_written_is_503(
    start: Start, song: bytes, tmp_path: Path, redis_server: RedisServer
) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "input-tracks").write_text("a file where a folder should be")
    assert_unavailable_soon(start().send(song))
    assert redis_server.client().keys("toWorkers*") == []


def test_a_lost_redis_costs_log_lines_only(service: Service, own_redis: RedisServer) -> None:
    own_redis.kill()
    started = time.monotonic()
    for _ in range(200):
        assert service.get("/apiv1/models").ok
        assert service.get("/apiv1/track/a/cowbell").status_code == 422
    assert time.monotonic() - started < 20
