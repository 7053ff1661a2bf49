"""A running stack: one at a time in a home, ready when its API and its workers are."""

import fcntl
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING

import requests

from msaas.errors import QueueUnavailable
from msaas_local.ports import AddressUnusable, check_address, free_port, next_port
from msaas_local.processes import (
    WORKER_PREFIX,
    Connection,
    Process,
    choose_connection,
    list_processes,
    prepare_database,
)
from msaas_local.settings import LocalSettings
from msaas_local.supervisor import Supervisor

if TYPE_CHECKING:
    from msaas.queue.protocol import JobQueue

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
        """Return the number of this stack's workers that take jobs, None while the API accepts no songs.

        The leases of workers of an earlier stack, which was killed, do not count.

        Raises:
            SystemExit: another server answers in place of the API.
        """
        if not _accepts_songs(self.settings):
            return None
        pids = {pid for name, pid in self.supervisor.pids().items() if name.startswith(WORKER_PREFIX)}
        with suppress(QueueUnavailable):
            return sum(_pid_of(worker) in pids for worker in self._queue.live_workers())
        return 0

    def stand_in(self) -> str | None:
        """Return the model that runs in place of the default model, None if there is none."""
        with suppress(QueueUnavailable):
            return self._queue.fleet().stand_in(self.settings.demucs_model)
        return None

    @cached_property
    def _queue(self) -> "JobQueue":
        # The client takes 0.3 s to import: the stack starts its processes before.
        from msaas.bootstrap import open_queue

        address = {"redis_host": self.connection.redis_host, "redis_port": self.connection.redis_port}
        if "REDIS_PASSWORD" in self.connection.queue:
            address["redis_password"] = None
        return open_queue(self.settings.model_copy(update=address))


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
        prepare_database(connection)
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


def _pid_of(worker: str) -> int | None:
    """Return the process id in the name of a worker of this machine: `<host>-<pid>-<random>`."""
    match = re.fullmatch(rf"{re.escape(socket.gethostname())}-(\d+)-[0-9a-f]+", worker)
    return int(match.group(1)) if match else None


def _accepts_songs(settings: LocalSettings) -> bool:
    """Return whether `/readyz` is 200. Raises `SystemExit` if another server answers."""
    try:
        reply = requests.get(f"{settings.url}/readyz", timeout=_HTTP_TIMEOUT_S)
    except requests.RequestException:
        return False
    if not _is_reply_of_the_api(reply):
        sys.exit(
            f"Another server answers at {settings.url}. "
            f"Stop it, or choose another port, for example: make up PORT={next_port(settings.port)}"
        )
    return reply.status_code == HTTPStatus.OK


def _is_reply_of_the_api(reply: requests.Response) -> bool:
    if reply.headers.get("Content-Type", "").startswith("application/problem+json"):
        return True
    try:
        facts = reply.json()
    except ValueError:
        return False
    return isinstance(facts, dict) and "workers" in facts


def sleep_and_watch(stack: Stack, stopping: threading.Event) -> bool:
    """Restart processes that died. Return whether the stack has to stop."""
    stack.supervisor.watch()
    return stopping.wait(WATCH_EVERY_S)
