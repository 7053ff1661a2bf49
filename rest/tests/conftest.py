"""Services for tests: running ones that tests share, and fresh ones for tests that break them."""

import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rest.tests.service import SERVER, SONG, Service, start_service
from rest.tests.songs_client import SongsClient
from rest.tests.worker_archives import TOKEN

from msaas.logs import configure_logging
from msaas.queue.redis.clients import RedisAddress
from msaas_catalogue import prepare
from msaas_catalogue.database import Database
from msaas_catalogue.tables import Base
from tests.servers import RedisServer, S3Access

Start = Callable[..., Service]


@pytest.fixture(scope="session", autouse=True)
def _logging() -> None:
    """Log in this process as a service does, but to the handlers of pytest."""
    handlers = list(logging.getLogger().handlers)
    configure_logging(service="rest", level="debug")
    logging.getLogger().handlers[:] = handlers


class ServicePool:
    """Running services, one for each environment, on one Redis and one directory store.

    They run until the last test.
    """

    def __init__(self, folder: Path, redis: RedisAddress) -> None:
        self._folder, self._store = folder, folder / "store"
        self._defaults = {"STORE_DIR": str(self._store), **_redis_environment(redis)}
        self._services: dict[object, Service] = {}

    def get(self, *, command: tuple[str, ...] = SERVER, **environment: str) -> Service:
        key = (command, frozenset(environment.items()))
        if key not in self._services:
            environment = {**self._defaults, **environment}
            self._services[key] = start_service(self._folder, command=command, **environment)
        return self._services[key]

    def empty_store(self) -> None:
        shutil.rmtree(self._store, ignore_errors=True)
        self._store.mkdir()

    def kill(self) -> None:
        for service in self._services.values():
            service.kill()


def _redis_environment(address: RedisAddress) -> dict[str, str]:
    return {"REDIS_HOST": address.host, "REDIS_PORT": str(address.port)}


@pytest.fixture(scope="session")
def _pool(_valkey: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServicePool]:
    pool = ServicePool(tmp_path_factory.mktemp("rest"), _valkey.address)
    yield pool
    pool.kill()


@pytest.fixture
def shared(_pool: ServicePool, redis_server: RedisServer) -> Start:
    """Return the running service with this environment. The test begins with an empty queue and store."""
    _pool.empty_store()
    return _pool.get


@pytest.fixture
def service(shared: Start) -> Service:
    """The running service that most tests use: a directory store, with debug calls."""
    return shared(DEBUG_ENDPOINTS="1")


@pytest.fixture(scope="session")
def _database_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('rest') / 'catalogue.db'}"
    prepare(url)
    return url


@pytest.fixture
def database_url(_database_url: str) -> str:
    """The URL of a database with empty tables."""
    database = Database(_database_url)
    with database.writing() as session:
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(table.delete())
    database.close()
    return _database_url


@pytest.fixture
def songs_service(shared: Start, database_url: str) -> Service:
    """The running service with a database. The test begins without users and songs."""
    return shared(DEBUG_ENDPOINTS="1", DATABASE_URL=database_url, WORKER_TOKEN=TOKEN)


@pytest.fixture
def visit(songs_service: Service) -> Callable[..., SongsClient]:
    """Return a function that makes a client: an anonymous one, or one with an account of this name."""

    def visit_as(name: str = "") -> SongsClient:
        client = SongsClient(service=songs_service)
        if name:
            assert client.register(name).status_code == 200
        return client

    return visit_as


@pytest.fixture(params=["directory", "s3"])
def service_on_each_store(request: pytest.FixtureRequest, shared: Start) -> Service:
    if request.param == "directory":
        return shared(DEBUG_ENDPOINTS="1")
    s3: S3Access = request.getfixturevalue("s3_server")
    return shared(DEBUG_ENDPOINTS="1", STORE_DIR="", **s3.environment)


@pytest.fixture
def start(tmp_path: Path, redis_address: RedisAddress) -> Iterator[Start]:
    """Start a process for this test only, by default on a directory store. Arguments are its environment."""
    services = []

    def start_one(*, command: tuple[str, ...] = SERVER, **environment: str) -> Service:
        (tmp_path / "store").mkdir(exist_ok=True)
        defaults = {"STORE_DIR": str(tmp_path / "store"), **_redis_environment(redis_address)}
        services.append(start_service(tmp_path, command=command, **{**defaults, **environment}))
        return services[-1]

    yield start_one
    for service in services:
        service.kill()


@pytest.fixture
def song() -> bytes:
    return SONG.read_bytes()


@pytest.fixture
def untouched(redis_server: RedisServer, service: Service) -> Iterator[None]:
    """Assert after the test that nothing was stored, not even in part, nor enqueued."""
    yield
    assert redis_server.client().keys("toWorkers*") == []
    assert redis_server.client().keys("job:*") == []
    assert service.settings.store_dir is not None
    assert [path for path in service.settings.store_dir.rglob("*") if path.is_file()] == []
