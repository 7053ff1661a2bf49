"""Real database servers of Debian on free ports, as plain processes. Tests may kill them."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from abc import abstractmethod
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psutil
from sqlalchemy import URL, create_engine, text
from sqlalchemy.exc import DBAPIError

from msaas_catalogue.database import parse_url
from tests.servers import Server, absent

_USER, _PASSWORD = "msaas", "secret of msaas"
#: PostgreSQL refuses to run as root.
_UNPRIVILEGED = "nobody"


class DatabaseServer(Server):
    """A server with one user, which may make databases."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._numbers = count(1)

    @property
    @abstractmethod
    def kind(self) -> str: ...

    def url(self, database: str) -> str:
        url = URL.create(self.kind, _USER, _PASSWORD, host="127.0.0.1", port=self.port, database=database)
        return url.render_as_string(hide_password=False)

    def answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except (DBAPIError, OSError):
            return False
        return True

    @abstractmethod
    def execute(self, statement: str) -> None:
        """Execute a statement in the database of the server itself."""

    def make_database(self) -> str:
        """Return the URL of a new database."""
        name = f"test{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)


def _execute(url: str, statement: str) -> None:
    engine = create_engine(parse_url(url), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(statement))
    finally:
        engine.dispose()


class MariaDBServer(DatabaseServer):
    """Without a configuration its default character set is latin1: the tables must name theirs."""

    kind = "mysql"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._data = folder / "data"
        install = ["mariadb-install-db", "--no-defaults", f"--datadir={self._data}", f"--user={_user()}"]
        _run([*install, "--auth-root-authentication-method=normal", "--skip-test-db"], folder)
        self._init = folder / "init.sql"
        self._init.write_text(
            f"CREATE USER IF NOT EXISTS '{_USER}'@'127.0.0.1' IDENTIFIED BY '{_PASSWORD}';\n"
            f"GRANT ALL ON *.* TO '{_USER}'@'127.0.0.1';\n"
        )

    def commands(self) -> list[list[str]]:
        options = {
            "datadir": self._data,
            "port": self.port,
            "bind-address": "127.0.0.1",
            "socket": self.folder / "socket",
            "pid-file": self.folder / "pid",
            "init-file": self._init,
            "user": _user(),
            "innodb-flush-log-at-trx-commit": 2,
            "innodb-buffer-pool-size": "64M",
        }
        program = str(shutil.which("mariadbd") or "/usr/sbin/mariadbd")
        flags = [f"--{name}={value}" for name, value in options.items()]
        return [[program, "--no-defaults", "--skip-name-resolve", *flags]]

    def execute(self, statement: str) -> None:
        _execute(self.url("mysql"), statement)


class PostgreSQLServer(DatabaseServer):
    """Its databases order texts as English does: the columns must name their collation."""

    kind = "postgresql"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._programs = _postgresql_programs()
        self._data = folder / "data"
        password = folder / "password"
        password.write_text(_PASSWORD)
        if os.geteuid() == 0:
            shutil.chown(folder, _UNPRIVILEGED)
            shutil.chown(password, _UNPRIVILEGED)
        locale = ["--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en"]
        login = [f"--username={_USER}", "--auth=scram-sha-256", f"--pwfile={password}"]
        initdb = [str(self._programs / "initdb"), f"--pgdata={self._data}", "--no-sync"]
        _run([*_unprivileged(), *initdb, *locale, *login], folder)

    def commands(self) -> list[list[str]]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.folder,
            "fsync": "off",
            "full_page_writes": "off",
            "shared_buffers": "32MB",
        }
        flags = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        program = [str(self._programs / "postgres"), "-D", str(self._data), "-p", str(self.port)]
        return [[*_unprivileged(), *program, *flags]]

    def signal(self, number: int) -> None:
        """Signal each process of the server: they have groups of their own."""
        for process in self.processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                server = psutil.Process(process.pid)
                for each in [server, *server.children(recursive=True)]:
                    each.send_signal(number)

    def execute(self, statement: str) -> None:
        _execute(self.url("postgres"), statement)


def _user() -> str:
    return "root" if os.geteuid() == 0 else os.environ.get("USER", "nobody")


def _unprivileged() -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={_UNPRIVILEGED}", "--regid=nogroup", "--clear-groups", "--"]


def _run(command: list[str], folder: Path) -> None:
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if made.returncode:
        raise RuntimeError(made.stdout + made.stderr)


def _postgresql_programs() -> Path:
    """Return the folder of the newest PostgreSQL of Debian, or of the one in the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    program = found[-1] if found else shutil.which("postgres")
    if program is None:
        absent("postgresql")
    return Path(str(program)).parent


SERVERS: dict[str, type[DatabaseServer]] = {"mariadb": MariaDBServer, "postgresql": PostgreSQLServer}


@contextlib.contextmanager
def database_running(kind: str) -> Iterator[DatabaseServer]:
    """Run a server in a folder that its user may enter, which those of pytest are not."""
    if kind == "mariadb" and shutil.which("mariadb-install-db") is None:
        absent("mariadb-server")
    with tempfile.TemporaryDirectory(prefix="msaas-") as folder:
        server = SERVERS[kind](Path(folder))
        try:
            yield server.start()
        finally:
            server.kill()
