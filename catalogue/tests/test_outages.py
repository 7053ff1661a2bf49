"""Outages: a database that is killed, hangs or is locked is unavailable, and is found again."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from catalogue.tests.conftest import CHEAP
from msaas.errors import DatabaseUnavailable, MalformedSettings
from msaas_catalogue import Catalogue, open_catalogue, prepare
from msaas_catalogue.database import ANSWER_S, Database, _tls_of, parse_url
from msaas_catalogue.passwords import Passwords
from tests.databases import DatabaseServer, database_running

PASSWORD = "correct horse"


@pytest.fixture(params=["mariadb", "postgresql"])
def own_server(request: pytest.FixtureRequest) -> Iterator[DatabaseServer]:
    """A server of this test alone, which it may kill."""
    with database_running(request.param) as server:
        yield server


def register(catalogue: Catalogue, name: str) -> None:
    catalogue.accounts.register(name, password=PASSWORD, repeated=PASSWORD)


def test_killed_server_is_unavailable_and_found_again(own_server: DatabaseServer) -> None:
    url = own_server.make_database()
    prepare(url)
    catalogue = open_catalogue(url, passwords=Passwords(CHEAP))
    register(catalogue, "ann")
    own_server.kill()
    for _ in range(3):
        started = time.monotonic()
        with pytest.raises(DatabaseUnavailable, match="Try again"):
            register(catalogue, "bob")
        assert time.monotonic() - started < 1.0
    own_server.start()
    register(catalogue, "bob")
    assert [user.name for user in catalogue.accounts.list_users()] == ["ann", "bob"]
    catalogue.close()


def test_server_that_hangs_is_unavailable_in_time(own_server: DatabaseServer) -> None:
    url = own_server.make_database()
    prepare(url)
    catalogue = open_catalogue(url)
    catalogue.ping()
    own_server.pause()
    try:
        started = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            catalogue.ping()
        # The connection of the pool is tried, then a new one.
        assert time.monotonic() - started < 2 * ANSWER_S + 2
    finally:
        own_server.resume()
    catalogue.ping()
    catalogue.close()


def test_wrong_password_is_unavailable_and_not_shown(own_server: DatabaseServer) -> None:
    url = own_server.make_database()
    wrong = parse_url(url).set(password="wrong-secret").render_as_string(hide_password=False)
    with pytest.raises(DatabaseUnavailable) as refused:
        open_catalogue(wrong).ping()
    assert "wrong-secret" not in str(refused.value)


def test_locked_file_is_unavailable(file_url: str) -> None:
    prepare(file_url)
    catalogue = Catalogue(Database(file_url, answer_s=0.1), passwords=Passwords(CHEAP))
    register(catalogue, "ann")
    with closing(sqlite3.connect(file_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailable):
            register(catalogue, "bob")
        assert [user.name for user in catalogue.accounts.list_users()] == ["ann"]
        other.execute("ROLLBACK")
    register(catalogue, "bob")


def test_missing_folder_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable):
        open_catalogue(f"sqlite:///{tmp_path}/none/catalogue.db").ping()


@pytest.mark.parametrize(
    ("url", "drivername"),
    [
        ("mysql://a:b@db/msaas", "mysql+pymysql"),
        ("mariadb+mariadbconnector://a:b@db/msaas", "mariadb+pymysql"),
        ("postgres://a:b@db/msaas", "postgresql+pg8000"),
        ("postgresql+psycopg://a:b@db/msaas", "postgresql+pg8000"),
        ("sqlite:///catalogue.db", "sqlite"),
    ],
)
def test_url_has_our_driver(url: str, drivername: str) -> None:
    assert parse_url(url).drivername == drivername


@pytest.mark.parametrize(
    "url", ["", "msaas", "oracle://a:secret@db/msaas", "sqlite://", "sqlite:///:memory:"]
)
def test_invalid_url_is_named_without_its_password(url: str) -> None:
    with pytest.raises(MalformedSettings, match="DATABASE_URL: ") as refused:
        open_catalogue(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("query", "is_encrypted", "is_verified"),
    [
        ("", False, False),
        ("?sslmode=disable", False, False),
        ("?sslmode=require", True, False),
        ("?sslmode=verify-full", True, True),
    ],
)
def test_url_of_postgresql_asks_for_tls_as_libpq_does(
    query: str, is_encrypted: bool, is_verified: bool
) -> None:
    url, tls = _tls_of(parse_url(f"postgresql://a:b@db/msaas{query}"))
    assert not url.query
    assert ("ssl_context" in tls) is is_encrypted
    assert not is_encrypted or tls["ssl_context"].check_hostname is is_verified
