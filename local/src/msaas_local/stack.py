"""A running stack: one at a time in a home, ready when its API and its workers are."""

import fcntl
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus

import requests

from msaas.errors import QueueUnavailable
from msaas_local.ports import AddressUnusable, check_address, free_port
from msaas_local.processes import Connection, Process, choose_connection, list_processes
from msaas_local.settings import LocalSettings
from msaas_local.supervisor import Supervisor

WATCH_EVERY_S = 0.1
_HTTP_TIMEOUT_S = 2.0


def say(text: str) -> None:
    sys.stdout.write(f"[msaas] {text}\n")
    sys.stdout.flush()


@dataclass(frozen=True, kw_only=True)
class Stack:
    settings: LocalSettings
    connection: Connection
    processes: list[Process]
    supervisor: Supervisor
    started_at: float = field(default_factory=time.monotonic)

    @property
    def age_s(self) -> float:
        return time.monotonic() - self.started_at

    def live_workers(self) -> int | None:
        """Return the number of workers that take jobs, None while the API accepts no songs."""
        reply = _ask_readiness(self.settings.url)
        return int(reply.json()["workers"]) if reply is not None else None

    def stand_in(self) -> str | None:
        """Return the model that runs in place of the default model, None if there is none."""
        # The clients of queue and store take 0.5 s to import: the stack starts its processes before.
        from msaas.bootstrap import open_queue

        address = {"redis_host": self.connection.redis_host, "redis_port": self.connection.redis_port}
        if "REDIS_PASSWORD" in self.connection.queue:
            address["redis_password"] = None
        with suppress(QueueUnavailable):
            return open_queue(self.settings.model_copy(update=address)).stand_in(self.settings.demucs_model)
        return None


@contextmanager
def running_stack(settings: LocalSettings, *, quiet: bool = False) -> Iterator[Stack]:
    """Start the processes, and stop them at the end of the context.

    Raises:
        SystemExit: the home or the address cannot be used. The message names the cause.
    """
    with _locked_home(settings):
        if not settings.port:
            settings = settings.model_copy(update={"port": free_port()})
        try:
            check_address(settings.host, settings.port)
        except AddressUnusable as error:
            sys.exit(str(error))
        connection = choose_connection(settings)
        supervisor = Supervisor(settings.log_dir, say, quiet=quiet)
        processes = list_processes(settings, connection)
        try:
            stack = Stack(
                settings=settings, connection=connection, processes=processes, supervisor=supervisor
            )
            supervisor.start(processes)
            yield stack
        finally:
            supervisor.stop()


@contextmanager
def _locked_home(settings: LocalSettings) -> Iterator[None]:
    home = settings.msaas_home
    try:
        for folder in (home, settings.log_dir, settings.redis_dir):
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK | os.X_OK):
                sys.exit(f"MSAAS_HOME={home} cannot be used: {folder} is not writable.")
        lock = open(home / "lock", "w")  # noqa: SIM115 - closed below
    except (FileExistsError, NotADirectoryError) as error:
        sys.exit(f"MSAAS_HOME={home} cannot be used: {error.filename} is not a folder.")
    except OSError as error:
        sys.exit(f"MSAAS_HOME={home} cannot be used: {error.filename}: {error.strerror}.")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"A stack already runs in {home}. Stop it, or choose another folder with MSAAS_HOME.")
        yield


def _ask_readiness(url: str) -> requests.Response | None:
    """Return the reply of `/readyz` if it is 200."""
    with suppress(requests.RequestException):
        reply = requests.get(f"{url}/readyz", timeout=_HTTP_TIMEOUT_S)
        if reply.status_code == HTTPStatus.OK:
            return reply
    return None


def sleep_and_watch(stack: Stack, stopping: threading.Event) -> bool:
    """Restart processes that died. Return whether the stack has to stop."""
    stack.supervisor.watch()
    return stopping.wait(WATCH_EVERY_S)
