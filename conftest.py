"""The servers every test folder may ask for; each starts once in a run."""

from collections.abc import Iterator

import hypothesis
import pytest

from msaas.redis_clients import RedisAddress
from tests.faults.report import FaultTable, figure
from tests.servers import (
    RcloneServer,
    RedisServer,
    S3Access,
    SwiftServer,
    rclone_running,
    redis_running,
    swift_running,
)

__all__ = ["figure"]


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(FaultTable())
    # Its limit of 200 ms an example is one on how crowded the machine may be.
    hypothesis.settings.register_profile("patient", deadline=None)
    hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session")
def _valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_running(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def redis_server(_valkey: RedisServer) -> RedisServer:
    """A real Redis-protocol server from a wheel, emptied; not to be killed, others use it too."""
    _valkey.client().flushall()
    return _valkey


@pytest.fixture
def redis_address(redis_server: RedisServer) -> RedisAddress:
    return redis_server.address


# One for each module: a server that had lived through a whole run was seen to keep a processor busy.
@pytest.fixture(scope="module")
def _rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RcloneServer]:
    with rclone_running(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture
def s3_server(_rclone: RcloneServer) -> S3Access:
    """A real S3 server from a wheel, emptied: `.environment` for a process, `.store()` for a test."""
    _rclone.empty()
    return _rclone.access


@pytest.fixture(scope="session")
def swift_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwiftServer]:
    """A second, stricter S3 server; Debian packages it."""
    with swift_running(tmp_path_factory.mktemp("swift")) as server:
        yield server
