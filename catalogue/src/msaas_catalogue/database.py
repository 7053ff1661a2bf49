"""The database: an engine for each kind of server, transactions, and the errors of drivers as ours."""

import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, Insert, create_engine, event, make_url, text
from sqlalchemy import exc as sql_errors
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from msaas.errors import DatabaseUnavailable, MalformedSettings

#: A server that does not answer a statement within this time is away. A writer of SQLite waits as long for
#: another one.
ANSWER_S = 5.0
#: A request waits this long for a free connection: a server that hangs must not hold every thread.
_POOL_WAIT_S = 2.0
_CONNECTIONS = 5
#: The driver of each kind of server. Another driver in a URL is replaced.
_DRIVERS = {
    "sqlite": "sqlite",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
    "postgres": "postgresql+pg8000",
    "postgresql": "postgresql+pg8000",
}
#: SQLSTATE of a unique key that exists, and of a table that does not.
_DUPLICATE, _NO_TABLE = "23505", "42P01"
_MYSQL_DUPLICATE, _MYSQL_NO_TABLE = 1062, 1146
#: Classes of SQLSTATE that are defects of ours: data, integrity, syntax.
_DEFECTS = ("22", "23", "42")
_NOT_PREPARED = "The database has no tables. Run `python -m msaas_catalogue prepare`."


def parse_url(text: str) -> URL:
    """Return the URL of a database, with our driver. The password is never shown.

    Raises:
        MalformedSettings: the text is not a URL, or names another kind of database.
    """
    try:
        url = make_url(text)
    except sql_errors.ArgumentError:
        raise MalformedSettings("DATABASE_URL: the value is not a URL of a database.") from None
    kind = url.drivername.partition("+")[0]
    if kind not in _DRIVERS:
        raise MalformedSettings(f"DATABASE_URL: the URL must begin with one of {', '.join(_DRIVERS)}.")
    if kind == "sqlite" and url.database in (None, "", ":memory:"):
        raise MalformedSettings(
            "DATABASE_URL: the URL of SQLite must name a file, as sqlite:///catalogue.db does."
        )
    return url.set(drivername=_DRIVERS[kind])


class Database:
    """A connection pool. Nothing is sent before the first transaction.

    Raises:
        MalformedSettings: as `parse_url` does.
    """

    def __init__(self, url: str, *, answer_s: float = ANSWER_S, foreign_keys: bool = True) -> None:
        self.url = parse_url(url)
        self.engine = _open_engine(self.url, answer_s=answer_s, foreign_keys=foreign_keys)
        self._readers = sessionmaker(self.engine, expire_on_commit=False)
        # SQLite: a transaction that reads first and writes later fails if another one wrote in between.
        self._writers = sessionmaker(self.engine.execution_options(begin="IMMEDIATE"), expire_on_commit=False)

    @property
    def kind(self) -> str:
        """Return `sqlite`, `mysql` (also for MariaDB) or `postgresql`."""
        name = self.engine.dialect.name
        return "mysql" if name == "mariadb" else name

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that reads. Raises `DatabaseUnavailable`."""
        with our_errors(), self._readers.begin() as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction that writes, committed at its end. Raises `DatabaseUnavailable`."""
        with our_errors(), self._writers.begin() as session:
            yield session

    def ping(self) -> None:
        """Raises `DatabaseUnavailable`, also for a database without tables."""
        with self.reading() as session:
            if session.execute(text("SELECT version_num FROM alembic_version")).scalar() is None:
                raise DatabaseUnavailable(_NOT_PREPARED)

    def close(self) -> None:
        self.engine.dispose()


def upsert(table: type[DeclarativeBase], rows: Sequence[Mapping[str, Any]], *, key: str, kind: str) -> Insert:
    """Return the statement that adds rows of the same columns. One with a known `key` replaces its row.

    Args:
        key: a column that is unique.
        kind: that of the database.
    """
    if kind == "mysql":
        statement = mysql.insert(table).values(rows)
        return statement.on_duplicate_key_update({name: statement.inserted[name] for name in rows[0]})
    insert = sqlite.insert if kind == "sqlite" else postgresql.insert
    statement_ = insert(table).values(rows)
    return statement_.on_conflict_do_update(
        index_elements=[key], set_={name: statement_.excluded[name] for name in rows[0]}
    )


def _open_engine(url: URL, *, answer_s: float, foreign_keys: bool) -> Engine:
    if url.get_backend_name() == "sqlite":
        return _open_sqlite(url, answer_s=answer_s, foreign_keys=foreign_keys)
    options: dict[str, Any] = {"pool_pre_ping": True, "pool_recycle": 1800}
    if url.get_backend_name() == "postgresql":
        url, tls = _tls_of(url)
        options["connect_args"] = {"timeout": answer_s, "application_name": "msaas", **tls}
    else:
        # Within a transaction, MariaDB would otherwise show the state at its start.
        options["isolation_level"] = "READ COMMITTED"
        options["connect_args"] = {
            "charset": "utf8mb4",
            "sql_mode": "TRADITIONAL",
            "connect_timeout": min(answer_s, ANSWER_S),
            "read_timeout": answer_s,
            "write_timeout": answer_s,
        }
    engine = create_engine(
        url, pool_size=_CONNECTIONS, max_overflow=_CONNECTIONS, pool_timeout=_POOL_WAIT_S, **options
    )
    if url.get_backend_name() == "postgresql":
        _send_at_once(engine)
    return engine


def _send_at_once(engine: Engine) -> None:
    """Turn off Nagle's algorithm, by which the end of a long statement waits 40 ms. pg8000 has no option."""

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: ConnectionPoolEntry) -> None:
        if connection._usock.family != socket.AF_UNIX:
            connection._usock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _open_sqlite(url: URL, *, answer_s: float, foreign_keys: bool) -> Engine:
    engine = create_engine(
        url,
        connect_args={"timeout": answer_s, "check_same_thread": False},
        pool_size=_CONNECTIONS,
        max_overflow=_CONNECTIONS,
        pool_timeout=_POOL_WAIT_S,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: ConnectionPoolEntry) -> None:
        # The driver would begin transactions late and commit before each change of a table.
        connection.isolation_level = None
        connection.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        mode = connection.get_execution_options().get("begin", "DEFERRED")
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


def _tls_of(url: URL) -> tuple[URL, Mapping[str, Any]]:
    """Return the URL without `sslmode` and `sslrootcert` of libpq, and the TLS that they ask for."""
    query = dict(url.query)
    mode, certificates = str(query.pop("sslmode", "disable")), query.pop("sslrootcert", None)
    url = url.set(query=query)
    if mode in ("disable", "allow", "prefer"):
        return url, {}
    context = ssl.create_default_context(cafile=str(certificates) if certificates else None)
    if mode != "verify-full":
        context.check_hostname = False
    if mode == "require" and not certificates:
        context.verify_mode = ssl.CERT_NONE
    return url, {"ssl_context": context}


@contextmanager
def our_errors() -> Iterator[None]:
    """Turn outages into `DatabaseUnavailable`. Defects, such as a syntax error, stay as they are."""
    try:
        yield
    except sql_errors.DBAPIError as error:
        if not _is_outage(error):
            raise
        raise DatabaseUnavailable(_describe(error)) from error
    except (sql_errors.TimeoutError, OSError) as error:
        raise DatabaseUnavailable(
            f"The database is unavailable ({type(error).__name__}). Try again in 5 s."
        ) from error


def is_duplicate(error: sql_errors.DBAPIError) -> bool:
    """Return whether a unique key exists already."""
    code = code_of(error)
    return code in (_DUPLICATE, _MYSQL_DUPLICATE) or "UNIQUE constraint failed" in str(error.orig)


def code_of(error: sql_errors.DBAPIError) -> str | int | None:
    """Return the SQLSTATE of PostgreSQL or the number of MariaDB, None for others and without a reply."""
    first = next(iter(getattr(error.orig, "args", ())), None)
    if isinstance(first, dict):
        return str(first.get("C", ""))
    return first if isinstance(first, int) else None


def _is_outage(error: sql_errors.DBAPIError) -> bool:
    code = code_of(error)
    if _lacks_tables(error):
        return True
    if isinstance(code, str):
        return not code.startswith(_DEFECTS)
    return isinstance(error, sql_errors.OperationalError | sql_errors.InterfaceError)


def _lacks_tables(error: sql_errors.DBAPIError) -> bool:
    return code_of(error) in (_NO_TABLE, _MYSQL_NO_TABLE) or "no such table" in str(error.orig)


def _describe(error: sql_errors.DBAPIError) -> str:
    if _lacks_tables(error):
        return _NOT_PREPARED
    code = code_of(error)
    cause = type(error.orig).__name__ if code is None else f"{type(error.orig).__name__} {code}"
    return f"The database is unavailable ({cause}). Try again in 5 s."
