"""The stack is up when `/readyz` says so, and one stack at a time lives in a home."""

import fcntl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import requests

from msaas_local.parts import parts_of
from msaas_local.ports import is_free
from msaas_local.settings import LocalSettings
from msaas_local.supervisor import Supervisor

_WATCH_EVERY_S = 0.1


def say(text: str) -> None:
    sys.stdout.write(f"[msaas] {text}\n")
    sys.stdout.flush()


@contextmanager
def running_stack(settings: LocalSettings, *, quiet: bool = False) -> Iterator[Supervisor]:
    """Start the stack, end it on the way out whatever happens.

    Raises:
        SystemExit: the port or the home is taken.
    """
    with _only_one(settings.msaas_home):
        if not is_free(settings.port, host=settings.host):
            sys.exit(f"Port {settings.port} on {settings.host} is taken; choose another: PORT=5001 make up")
        supervisor = Supervisor(settings.log_dir, say, quiet=quiet)
        try:
            supervisor.start(parts_of(settings))
            yield supervisor
        finally:
            supervisor.stop()


def run(settings: LocalSettings, stopping: threading.Event) -> None:
    """Keep the stack up until `stopping` is set; say so once it is ready."""
    with running_stack(settings) as supervisor:
        announced = False
        while not stopping.wait(_WATCH_EVERY_S):
            supervisor.watch()
            if not announced and is_ready(settings.url):
                announced = True
                say(f"ready at {settings.url}  (Ctrl-C ends it; logs in {settings.log_dir})")


def wait_until_ready(settings: LocalSettings, supervisor: Supervisor, stopping: threading.Event) -> None:
    while not is_ready(settings.url) and not stopping.is_set():
        supervisor.watch()
        time.sleep(_WATCH_EVERY_S)


def is_ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/readyz", timeout=2).status_code == HTTPStatus.OK
    except requests.RequestException:
        return False


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    home.mkdir(parents=True, exist_ok=True)
    with open(home / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"A stack is running in {home} already; MSAAS_HOME names another home.")
        yield
