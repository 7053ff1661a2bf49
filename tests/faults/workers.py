"""Real worker processes that die, stop or hang at an exact step, and somebody who starts them anew."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.servers import wait_until

ROOT = Path(__file__).parents[2]
_UP_S = 60.0


class Worker:
    """One incarnation."""

    def __init__(self, log: Path, environment: dict[str, str]) -> None:
        self.log = log
        self.started_at = datetime.now(UTC)
        on_disk = _on_a_disk(environment.pop("DISK", ""))
        command = [*on_disk, sys.executable, "-m", "tests.faults.worker_process"]
        with open(log, "wb") as output:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)

    def start_s(self) -> float:
        """How long it took to be ready, 0 if it never was."""
        ready = [datetime.fromisoformat(each["time"]) for each in self.said("worker_started")]
        return (ready[0] - self.started_at).total_seconds() if ready else 0.0

    def events(self) -> list[dict[str, Any]]:
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return [each for each in found if isinstance(each, dict) and "event" in each]

    def said(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        return [
            each
            for each in self.events()
            if each["event"] == event and all(each.get(name) == value for name, value in fields.items())
        ]

    def wait_until_said(self, event: str, *, timeout_s: float = _UP_S, **fields: Any) -> None:
        try:
            wait_until(lambda: self.said(event, **fields) or not self.is_alive(), timeout_s=timeout_s)
        except TimeoutError:
            raise TimeoutError(f"{event} was not said:\n{self.log.read_text()[-3000:]}") from None
        if not self.said(event, **fields):
            raise RuntimeError(f"the worker ended before {event}:\n{self.log.read_text()[-3000:]}")

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def terminate(self) -> float:
        """Return after how many seconds it ended with code 0."""
        began = time.monotonic()
        self.signal(signal.SIGTERM)
        assert self.process.wait(timeout=30) == 0, self.log.read_text()[-3000:]
        return time.monotonic() - began


def _on_a_disk(size_and_folder: str) -> list[str]:
    """Give the process a disk of its own there, for `4m:/folder` one of 4 MB."""
    if not size_and_folder:
        return []
    size, folder = size_and_folder.split(":")
    mount = f'mount -t tmpfs -o size={size} tmpfs {folder} && exec "$@"'
    return ["unshare", "-rm", "sh", "-c", mount, "sh"]


@dataclass
class Crew:
    """Starts workers, and kills them all in the end."""

    folder: Path
    environment: dict[str, str]
    workers: list[Worker] = field(default_factory=list)
    _keeping: threading.Event = field(default_factory=threading.Event)
    _keeper: threading.Thread | None = None

    @property
    def scratch(self) -> Path:
        return self.folder / "scratch"

    def start(self, *, ready: bool = True, **settings: str) -> Worker:
        self.scratch.mkdir(parents=True, exist_ok=True)
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "TMPDIR": str(self.scratch),
            "OMP_NUM_THREADS": "1",
            **self.environment,
            **settings,
        }
        worker = Worker(self.folder / f"worker-{len(self.workers)}.log", environment)
        self.workers.append(worker)
        if ready:
            worker.wait_until_said("worker_started")
        return worker

    def alive(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.is_alive()]

    def keep(self, number: int, **settings: str) -> None:
        """Keep so many alive from now on, as an orchestrator does."""
        self._keeping.set()

        def look() -> None:
            while self._keeping.is_set():
                for _ in range(number - len(self.alive())):
                    self.start(ready=False, **settings)
                time.sleep(0.1)

        self._keeper = threading.Thread(target=look, daemon=True)
        self._keeper.start()

    def stop_keeping(self) -> None:
        self._keeping.clear()
        if self._keeper:
            self._keeper.join()

    def kill_all(self) -> None:
        self.stop_keeping()
        for worker in self.workers:
            with contextlib.suppress(ProcessLookupError):
                worker.signal(signal.SIGCONT)
            worker.kill()

    def said(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        return [each for worker in self.workers for each in worker.said(event, **fields)]
