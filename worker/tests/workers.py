"""Real worker processes, made to be killed."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.servers import wait_until


class Worker:
    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._log = log
        with open(log, "wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "msaas_worker"], env=environment, stdout=output, stderr=output
            )

    def events(self) -> list[dict[str, Any]]:
        lines = self._log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def has_said(self, event: str) -> bool:
        return any(line["event"] == event for line in self.events())

    def wait_until_said(self, event: str, *, timeout_s: float = 60.0) -> None:
        try:
            wait_until(lambda: self.has_said(event) or self._process.poll() is not None, timeout_s=timeout_s)
        except TimeoutError:
            raise TimeoutError(f"{event} was not said:\n{self._log.read_text()}") from None
        if not self.has_said(event):
            raise RuntimeError(f"the worker ended before {event}:\n{self._log.read_text()}")

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def exit_code(self, *, timeout_s: float) -> int:
        return self._process.wait(timeout=timeout_s)

    def terminate(self, *, timeout_s: float) -> int:
        self.signal(signal.SIGTERM)
        return self.exit_code(timeout_s=timeout_s)


@dataclass
class Workers:
    folder: Path
    environment: dict[str, str]
    started: list[Worker] = field(default_factory=list)

    @property
    def scratch(self) -> Path:
        return self.folder / "tmp"

    def start(self, **settings: str) -> Worker:
        self.scratch.mkdir(parents=True, exist_ok=True)
        environment = {
            "PATH": os.environ["PATH"],
            "TMPDIR": str(self.scratch),
            "OMP_NUM_THREADS": "1",
            **self.environment,
            **settings,
        }
        worker = Worker(environment, self.folder / f"{len(self.started)}.log")
        self.started.append(worker)
        return worker

    def kill_all(self) -> None:
        for worker in self.started:
            worker.kill()
