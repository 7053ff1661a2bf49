"""Fixtures of servers for every test folder, and the markers that select the fast tests."""

import os
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from msaas.queue.redis.clients import RedisAddress
from tests.databases import SERVERS as DATABASES
from tests.faults.report import FaultTable, figure
from tests.servers import (
    REDIS_BINARIES,
    RabbitServer,
    RcloneServer,
    RedisServer,
    S3Access,
    SwiftServer,
    rabbit_running,
    rclone_running,
    redis_running,
    swift_running,
)
from tests.system import System
from tests.worker_pool import WorkerPool, open_pool

__all__ = ["figure"]

_MARKERS = (
    "server: uses a real server or a service process, by its fixtures",
    "process: starts processes of its own",
    "slow: computes for seconds",
)
#: A test with one of these among its fixtures is marked `server`.
_SERVER_FIXTURES = {
    *(
        "_valkey",
        "_rclone",
        "swift_server",
        "_debian_redis",
        "own_redis",
        "_rabbit",
        "own_rabbit",
        "impatient",
    ),
    *("impatient", "mariadb", "postgresql", "own_server"),
    *("_shared_service", "start", "pool", "shared_pool", "s3", "stack"),
}
#: Parameters that name a server: the fixtures of such tests are requested while they run.
_SERVER_PARAMETERS = {*REDIS_BINARIES, *DATABASES, "rclone", "swift", "s3", "classic", "quorum"}
_LONG_FOLDERS = {"faults", "journeys", "upgrade"}


def pytest_configure(config: pytest.Config) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        # Threads of OpenMP spin while they wait: more of them than cores slow every test down.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    config.pluginmanager.register(FaultTable())
    # The default limit of 200 ms an example depends on how crowded the machine is.
    hypothesis.settings.register_profile("patient", deadline=None)
    hypothesis.settings.load_profile("patient")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    for item in items:
        if _needs_server(item):
            item.add_marker(pytest.mark.server)
        if _is_long(item):
            item.add_marker(pytest.mark.long)
    yield
    if "PYTEST_XDIST_WORKER" in os.environ:
        _put_small_files_first(items)


def _put_small_files_first(items: list[pytest.Item]) -> None:
    """Files of few tests have the longest ones. At the end, one process would work and the others wait."""
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: (tests[item.path], item.path))


def _needs_server(item: pytest.Item) -> bool:
    fixtures = getattr(item, "fixturenames", ())
    return bool(_SERVER_FIXTURES.intersection(fixtures) or _SERVER_PARAMETERS & _named(item))


def _is_long(item: pytest.Item) -> bool:
    """Swift takes many seconds to start. The faults and the journeys run whole systems."""
    return "swift" in _named(item) or bool(_LONG_FOLDERS & set(item.path.parts))


def _named(item: pytest.Item) -> set[str]:
    """Return the parameters of a test that are texts."""
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return {each for each in parameters if isinstance(each, str)}


@pytest.fixture(scope="session")
def _valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_running(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def redis_server(_valkey: RedisServer) -> RedisServer:
    """A real Redis-protocol server from a wheel, emptied. Other tests use it, too: do not kill it."""
    _valkey.client().flushall()
    return _valkey


@pytest.fixture
def redis_address(redis_server: RedisServer) -> RedisAddress:
    return redis_server.address


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of this test alone, which it may kill. Every answered write is on disk (AOF `always`)."""
    with redis_running(tmp_path / "redis", aof=True) as server:
        yield server


@pytest.fixture
def stopping() -> Iterator[threading.Event]:
    """An event for the background threads of a test, set at its end."""
    stopping = threading.Event()
    yield stopping
    stopping.set()


@pytest.fixture
def log_lines() -> Iterator[list[EventDict]]:
    """The log lines of this process, as they are written."""
    with capture_logs() as lines:
        yield lines


@pytest.fixture(scope="session")
def _rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RcloneServer]:
    with rclone_running(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture
def s3_server(_rclone: RcloneServer) -> S3Access:
    """A real S3 server from a wheel, emptied: `.environment` for a process, `.store()` for a test."""
    _rclone.empty()
    return _rclone.access


@pytest.fixture(scope="session")
def _rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    with rabbit_running(tmp_path_factory.mktemp("rabbit"), settings=["max_message_size = 1048576"]) as server:
        yield server


@pytest.fixture
def rabbit_server(_rabbit: RabbitServer) -> RabbitServer:
    """A real broker, whose messages may have 1 MiB. Tests share it: each takes a queue of its own."""
    return _rabbit


@pytest.fixture
def own_rabbit(tmp_path: Path) -> Iterator[RabbitServer]:
    """A broker of this test alone, which it may kill."""
    with rabbit_running(tmp_path / "rabbit") as server:
        yield server


@pytest.fixture(scope="session")
def swift_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwiftServer]:
    """A second, stricter S3 server; Debian packages it."""
    with swift_running(tmp_path_factory.mktemp("swift")) as server:
        yield server


@pytest.fixture
def pool(system: System, tmp_path: Path) -> Iterator[WorkerPool]:
    """Workers with the quick engine for the `system` of the test folder. None runs yet."""
    with open_pool(system, tmp_path / "pool") as pool:
        yield pool


@pytest.fixture
def s3(system: System, tmp_path: Path) -> Iterator[RcloneServer]:
    """Replace the store of the `system` by an S3 server of this test alone, behind `s3.proxy`."""
    with rclone_running(tmp_path / "s3") as server:
        system.use_s3(server.access)
        yield server
