"""Makes and migrates the tables, by Alembic. Of several processes at once, one works and the others wait."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy import exc as sql_errors

from msaas.errors import DatabaseUnavailable
from msaas_catalogue.database import Database, our_errors

#: A process waits this long for another one that migrates. A statement may take as long.
_MIGRATION_S = 600
#: The lock of all MSaaS processes in a database. PostgreSQL takes numbers, MariaDB names.
_LOCK_NUMBER, _LOCK_NAME = 0x4D53616153, "msaas_catalogue"
_LOOK_EVERY_S = 0.05


def prepare(url: str, *, revision: str = "head") -> str:
    """Make the tables, or migrate those of an older release. May be repeated. Return the revision.

    Raises:
        MalformedSettings: the URL is invalid.
        DatabaseUnavailable: the database does not answer, or another process migrates for ten minutes.
    """
    with migrating(url) as config:
        command.upgrade(config, revision)
        return current_revision(config)


@contextmanager
def migrating(url: str) -> Iterator[Config]:
    """Hold the lock of migrations, in a transaction where the database has them for tables.

    MariaDB commits each change of a table: a migration that was killed there is repeated, and goes on.
    """
    # A migration of SQLite replaces tables. With foreign keys, the rows that refer to them would be deleted.
    database = Database(url, answer_s=_MIGRATION_S, foreign_keys=False)
    try:
        with our_errors():
            if database.kind == "sqlite":
                _make_file(database)
            with _lock(database), database.engine.execution_options(begin="IMMEDIATE").begin() as connection:
                yield _config(connection)
                _check_foreign_keys(connection, database.kind)
    finally:
        database.close()


def current_revision(config: Config) -> str:
    """Return the revision of the database, an empty text before the first one."""
    context = MigrationContext.configure(config.attributes["connection"])
    return context.get_current_revision() or ""


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _make_file(database: Database) -> None:
    """Make the file of SQLite, with a write-ahead log: readers and a writer then do not wait for each other.

    Two processes that switch at once do not wait either: one fails.
    """
    Path(str(database.url.database)).absolute().parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + _MIGRATION_S
    while True:
        connection = database.engine.raw_connection()
        try:
            connection.cursor().execute("PRAGMA journal_mode=WAL")
            return
        except Exception as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise DatabaseUnavailable(f"The file of SQLite cannot be used: {error}.") from error
            time.sleep(_LOOK_EVERY_S)
        finally:
            connection.close()


@contextmanager
def _lock(database: Database) -> Iterator[None]:
    """Hold the lock until the transaction has ended. That of SQLite is the transaction itself."""
    if database.kind == "sqlite":
        yield
        return
    with database.engine.connect() as connection:
        acquire = _acquire_named if database.kind == "mysql" else _acquire_numbered
        acquire(connection)
        try:
            yield
        finally:
            # The server releases the lock with its connection.
            connection.invalidate()


def _acquire_numbered(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": _LOCK_NUMBER})


def _acquire_named(connection: Connection) -> None:
    parameters = {"name": _LOCK_NAME, "seconds": _MIGRATION_S - 10}
    if connection.scalar(text("SELECT GET_LOCK(:name, :seconds)"), parameters) != 1:
        raise DatabaseUnavailable("Another process migrates the database. Try again later.")


def _check_foreign_keys(connection: Connection, kind: str) -> None:
    """SQLite did not check them during the migration."""
    if kind == "sqlite" and (broken := connection.execute(text("PRAGMA foreign_key_check")).first()):
        raise sql_errors.IntegrityError(f"Row {broken} refers to a row that is gone.", None, ValueError())
