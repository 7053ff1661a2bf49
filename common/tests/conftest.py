"""Every backend of the queue and of the store, so that one test body runs on all of them."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from common.tests.backends import QueueBench, memory_bench, redis_bench
from common.tests.stores import WatchedStore
from msaas.queue.history import HistoryQueue
from msaas.queue.protocol import JobQueue
from msaas.queue.song_registry import SongRegistry
from msaas.storage.directory import DirectoryStore
from msaas.storage.memory import InMemoryStore
from msaas.storage.protocol import ObjectStore
from msaas.storage.song_store import SongStore
from tests.servers import RedisServer, redis_running


@pytest.fixture(scope="session")
def _debian_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_running(tmp_path_factory.mktemp("redis"), kind="redis") as server:
        yield server


@pytest.fixture(params=["memory", "valkey", "redis"])
def bench(request: pytest.FixtureRequest) -> QueueBench:
    if request.param == "memory":
        return memory_bench()
    server: RedisServer = request.getfixturevalue(
        "redis_server" if request.param == "valkey" else "_debian_redis"
    )
    server.client().flushall()
    return redis_bench(server)


@pytest.fixture
def queue(bench: QueueBench) -> JobQueue:
    return bench.queue


@pytest.fixture
def registry(bench: QueueBench) -> SongRegistry:
    return bench.registry


@pytest.fixture
def history(bench: QueueBench) -> HistoryQueue:
    return bench.history


@pytest.fixture(params=["memory", "directory", "rclone", "swift"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "memory":
        return InMemoryStore()
    if request.param == "directory":
        return DirectoryStore(tmp_path / "store")
    if request.param == "rclone":
        return request.getfixturevalue("s3_server").store()
    return request.getfixturevalue("swift_server").access.store()


@pytest.fixture
def bucket(store: ObjectStore, request: pytest.FixtureRequest) -> str:
    """Return a bucket for this test only: the S3 servers are shared."""
    name = "b" + sha256(request.node.nodeid.encode()).hexdigest()[:20]
    store.make_bucket(name)
    return name


@pytest.fixture
def watched(store: ObjectStore) -> WatchedStore:
    return WatchedStore(store)


@pytest.fixture
def song_store(watched: WatchedStore, bucket: str) -> SongStore:
    song_store = SongStore(watched, f"{bucket}in", f"{bucket}out")
    song_store.prepare()
    return song_store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for the files of a received archive."""
    folder = tmp_path / "received"
    folder.mkdir()
    return folder
