"""Services for tests: one that most share, emptied before each, and others made to measure."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rest.tests.service import SERVER, SONG, Service, started

from msaas.redis_clients import RedisAddress
from tests.servers import RedisServer

Start = Callable[..., Service]


def _redis_environment(address: RedisAddress) -> dict[str, str]:
    return {"REDIS_HOST": address.host, "REDIS_PORT": str(address.port)}


@pytest.fixture(scope="session")
def _shared_service(_valkey: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("rest")
    store = folder / "store"
    store.mkdir()
    environment = _redis_environment(_valkey.address)
    service = started(folder, STORE_DIR=str(store), DEBUG_ENDPOINTS="1", **environment)
    yield service
    service.kill()


@pytest.fixture
def service(_shared_service: Service, redis_server: RedisServer) -> Service:
    """A service on the directory store, with debug calls; queue and store are empty."""
    for bucket in _store(_shared_service).iterdir():
        shutil.rmtree(bucket)
    return _shared_service


@pytest.fixture
def start(tmp_path: Path, redis_address: RedisAddress) -> Iterator[Start]:
    """Start further services, by default on a directory store; keyword arguments are their environment."""
    services = []

    def start_one(*, command: tuple[str, ...] = SERVER, **environment: str) -> Service:
        (tmp_path / "store").mkdir(exist_ok=True)
        defaults = {"STORE_DIR": str(tmp_path / "store"), **_redis_environment(redis_address)}
        services.append(started(tmp_path, command=command, **{**defaults, **environment}))
        return services[-1]

    yield start_one
    for service in services:
        service.kill()


@pytest.fixture(params=["directory", "s3"])
def service_on_each_store(request: pytest.FixtureRequest, start: Start) -> Service:
    if request.param == "directory":
        return start(DEBUG_ENDPOINTS="1")
    s3 = request.getfixturevalue("s3_server")
    return start(DEBUG_ENDPOINTS="1", STORE_DIR="", **s3.environment)


@pytest.fixture
def song() -> bytes:
    return SONG.read_bytes()


@pytest.fixture
def untouched(redis_server: RedisServer, service: Service) -> Iterator[None]:
    """Whatever the test does with the shared service: nothing is stored, not even in part, nor enqueued."""
    yield
    assert redis_server.client().keys("toWorkers*") == []
    assert redis_server.client().keys("job:*") == []
    assert [path for path in _store(service).rglob("*") if path.is_file()] == []


def _store(service: Service) -> Path:
    assert service.settings.store_dir is not None
    return service.settings.store_dir
