"""What all servers of the tests share: processes on free ports, which tests may kill."""

import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

#: A server on a crowded machine starts within this time.
_START_S = 180.0
#: Linux gives a connection one of 32,768 to 60,999: a server there may find its port taken when it starts.
_QUIET_PORTS, _PARTS = range(20_000, 32_000), 8


def absent(server: str) -> None:
    """End a test whose server is not installed: skip it, or fail it in CI."""
    message = f"{server} is not installed"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def free_port() -> int:
    """Return a port that no connection gets as its own and that no other test of this run asks for."""
    while True:
        port = next(_ports)
        with contextlib.suppress(OSError), socket.create_server(("0.0.0.0", port)):
            return port


def _own_ports() -> Iterator[int]:
    """Repeat the part of this worker of pytest-xdist, from a place that other runs do not begin at."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = _QUIET_PORTS[worker % _PARTS :: _PARTS]
    start = random.randrange(len(ports))
    return itertools.cycle((*ports[start:], *ports[:start]))


_ports = _own_ports()


def wait_until(condition: Callable[[], object], *, timeout_s: float = 60.0, every_s: float = 0.02) -> None:
    """Return once the condition holds. Raises `TimeoutError`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s:g} s: {condition}")
        time.sleep(every_s)


class Server(ABC):
    """One or more processes. After a SIGKILL they start again with their state."""

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.processes: list[subprocess.Popen[bytes]] = []
        folder.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def commands(self) -> list[list[str]]: ...

    @abstractmethod
    def answers(self) -> bool: ...

    def start(self) -> Self:
        for command in self.commands():
            with open(self.folder / "log", "ab") as log:
                self.processes.append(
                    subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, start_new_session=True)
                )
        wait_until(self._is_up, timeout_s=_START_S)
        return self

    def _is_up(self) -> bool:
        if any(process.poll() is not None for process in self.processes):
            raise RuntimeError((self.folder / "log").read_text(errors="replace")[-2000:])
        return self.answers()

    def signal(self, number: int) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)

    def kill(self) -> None:
        """End it as a crash does: without flushing anything."""
        self.signal(signal.SIGKILL)
        for process in self.processes:
            process.wait()
        self.processes.clear()

    def pause(self) -> None:
        """Keep its connections open and answer nothing."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)
