"""A database of each kind, so that one test body runs on all of them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from msaas_catalogue import Catalogue, prepare
from msaas_catalogue.database import Database
from msaas_catalogue.passwords import Passwords
from msaas_catalogue.tables import Base
from tests.databases import DatabaseServer, database_running

KINDS = ("sqlite", "mariadb", "postgresql")
#: As few rounds and as little memory as the algorithm allows.
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Clock:
    """A time that a test sets."""

    def __init__(self) -> None:
        self.now = 1_764_489_600.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="session")
def mariadb() -> Iterator[DatabaseServer]:
    with database_running("mariadb") as server:
        yield server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[DatabaseServer]:
    with database_running("postgresql") as server:
        yield server


@pytest.fixture(scope="session", params=KINDS)
def make_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """Return a function that makes an empty database and returns its URL."""
    if request.param == "sqlite":
        return lambda: f"sqlite:///{tmp_path_factory.mktemp('sqlite') / 'catalogue.db'}"
    server: DatabaseServer = request.getfixturevalue(request.param)
    return server.make_database


@pytest.fixture
def empty_url(make_url: Callable[[], str]) -> str:
    """The URL of a database without tables."""
    return make_url()


@pytest.fixture(scope="session")
def _prepared(make_url: Callable[[], str]) -> Iterator[Database]:
    url = make_url()
    prepare(url)
    database = Database(url)
    yield database
    database.close()


@pytest.fixture
def database(_prepared: Database) -> Database:
    """A database with empty tables."""
    with _prepared.writing() as session:
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(table.delete())
    return _prepared


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def catalogue(database: Database, clock: Clock) -> Catalogue:
    return Catalogue(database, passwords=Passwords(CHEAP), clock=clock)


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    """The URL of a file of SQLite that does not exist."""
    return f"sqlite:///{tmp_path / 'new' / 'catalogue.db'}"
