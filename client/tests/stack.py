"""A stack for tests of the client: a service, its queue and store, and a worker with the quick engine."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rest.tests.service import Service, start_service

from msaas.jobs import JobState
from msaas.songs import song_hash
from msaas_client import Client
from tests.servers import RedisServer, redis_running, wait_until
from tests.system import System, open_system
from tests.worker_pool import open_pool

MSAAS = Path(sys.executable).with_name("msaas")
#: Time for a second of song, in s: progress can be seen, and a song of a few seconds takes less than one.
PACE = 0.1
_COMMAND_S = 120.0
_OURS = ("MSAAS_", "MODEL_REPO", "HF_", "NO_COLOR")


@dataclass(frozen=True, kw_only=True)
class Stack:
    """`service` is the process of the API, `system` its queue and store."""

    service: Service
    system: System
    folder: Path

    @property
    def url(self) -> str:
        return self.service.url

    @property
    def port(self) -> int:
        return self.service.settings.port

    def client(self, **arguments: Any) -> Client:
        return Client(self.url, **arguments)

    def state(self, job_id: str) -> JobState:
        return self.system.status(job_id).state


@contextmanager
def running_stack(
    folder: Path, *, workers: int = 1, redis: RedisServer | None = None, **settings: str
) -> Iterator[Stack]:
    """Run a service on a Redis of its own, with quick workers. `settings` are those of the service."""
    with ExitStack() as stack:
        folder.mkdir(parents=True, exist_ok=True)
        redis = redis or stack.enter_context(redis_running(folder / "redis"))
        system = open_system(folder, redis)
        service = start_service(folder, **{**system.environment, **settings})
        stack.callback(service.kill)
        pool = stack.enter_context(open_pool(system, folder / "pool"))
        for _ in range(workers):
            pool.start(ENGINE_PACE=str(PACE), CALLBACK_ALLOW_PRIVATE="1")
        yield Stack(service=service, system=system, folder=folder)


def hash_of(song: Path) -> str:
    return song_hash(song.read_bytes())


def environment(url: str, **variables: str) -> dict[str, str]:
    """Return the environment of a command that knows this server and none of the settings of the test run."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return {**inherited, "MSAAS_URL": url, **variables}


def run(
    url: str, *arguments: str | Path, cwd: Path, stdin: bytes = b"", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the command `msaas` to its end."""
    done = subprocess.run(
        [MSAAS, *map(str, arguments)],
        cwd=cwd,
        env=environment(url, **variables),
        input=stdin,
        capture_output=True,
        timeout=_COMMAND_S,
        check=False,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, os.fsdecode(done.stdout), os.fsdecode(done.stderr)
    )


@contextmanager
def started(url: str, *arguments: str | Path, cwd: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Start the command, and kill it in the end."""
    process = subprocess.Popen(
        [MSAAS, *map(str, arguments)],
        cwd=cwd,
        env=environment(url, **variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def interrupt(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Send Ctrl-C. Return the exit code and the text on stderr."""
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=_COMMAND_S)
    return process.returncode, errors


def wait_for_job(stack: Stack, state: JobState, *, count: int = 1) -> list[str]:
    """Wait until so many jobs are in this state. Return their ids."""

    def find() -> list[str]:
        with stack.client() as client:
            return [job.id for job in client.jobs() if job.state == state]

    wait_until(lambda: len(find()) >= count)
    return find()


def require_shell(name: str) -> str:
    """Return the path of a shell, or end the test as `absent` does."""
    from tests.servers import absent

    found = shutil.which(name)
    if not found:
        absent(name)
    assert found
    return found
