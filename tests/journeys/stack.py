"""The stack of `make up` in a folder of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import requests

from tests.servers import free_port, wait_until

ROOT = Path(__file__).parents[2]
SONGS = sorted((ROOT / "data").glob("*.mp3"))
STEMS = ("vocals", "drums", "bass", "other")
READY_S, SEPARATED_S = 240.0, 240.0


@dataclass
class Stack:
    process: subprocess.Popen[str]
    url: str
    home: Path
    output: Path

    def text(self) -> str:
        """Return the output so far."""
        return self.output.read_text()

    def wait_until_ready(self) -> None:
        wait_until(lambda: "Ctrl-C" in self.text() or self.process.poll() is not None, timeout_s=READY_S)
        assert self.process.poll() is None, self.text()

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, timeout=10)

    def is_accepting(self) -> bool:
        try:
            return self.get("/readyz").status_code == 200
        except requests.ConnectionError:
            return False

    def processes(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def find(self, module: str) -> psutil.Process | None:
        return next((each for each in self.processes() if module in each.cmdline()), None)

    def send(self, mp3: bytes) -> str:
        reply = requests.post(
            f"{self.url}/apiv1/separate", data=mp3, headers={"Content-Type": "audio/mpeg"}, timeout=10
        )
        assert reply.status_code == 200, reply.text
        return str(reply.json()["songhash"])

    def wait_for(self, job_id: str) -> dict[str, Any]:
        """Wait until the job ends; return its status."""

        def has_ended() -> bool:
            return self.get(f"/apiv1/job/{job_id}").json().get("state") in {"done", "failed"}

        wait_until(has_ended, timeout_s=SEPARATED_S, every_s=0.2)
        return dict(self.get(f"/apiv1/job/{job_id}").json())


def start(home: Path, **settings: str) -> Stack:
    port = free_port()
    output = home.with_suffix(".out")
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in {"REDIS_HOST", "MINIO_HOST", "STORE_DIR", "MODEL_REPO"}
    }
    # An own port: a worker of another stack at the usual one would take the jobs.
    env |= {"MSAAS_HOME": str(home), "PORT": str(port), "REDIS_PORT": str(free_port())}
    env |= {"DEMUCS_MODEL": "starter", **settings}
    with open(output, "w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "msaas_local"],
            cwd=ROOT,
            env=env,
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
        )
    return Stack(process, f"http://127.0.0.1:{port}", home, output)


@contextmanager
def running(home: Path, **settings: str) -> Iterator[Stack]:
    stack = start(home, **settings)
    try:
        stack.wait_until_ready()
        yield stack
    finally:
        if stack.process.poll() is None:
            stack.process.send_signal(signal.SIGTERM)
            stack.process.wait(30)
