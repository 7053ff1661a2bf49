"""Runs the shell blocks of a document against a real API and a real worker, and returns their output."""

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rest.tests.service import start_service

from msaas.background import spawn
from msaas.models import STARTER
from msaas.queue.protocol import QueuePolicy
from msaas.queue.redis.clients import RedisAddress
from msaas_rest.bootstrap import Dependencies, bootstrap
from msaas_worker.job.handler import JobHandler
from msaas_worker.job.policy import WorkerPolicy
from msaas_worker.job.runner import JobRunner
from msaas_worker.scratch import Scratch
from tests.faults.quick_engine import QuickSeparator

ROOT = Path(__file__).parents[1]
#: The address in the documents.
_DOCUMENTED_URL = "http://localhost:5000"
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Example:
    """A shell block, and the JSON block that follows it, if any."""

    shell: str
    reply: Any = None


def find_examples(text: str) -> list[Example]:
    """Return the `sh` blocks of a Markdown text. Indented ones belong to lists and are left out."""
    blocks = _FENCED.findall(text)
    following = [*blocks, ("", "")][1:]
    return [
        Example(body, json.loads(next_body) if next_kind == "json" else None)
        for (kind, body), (next_kind, next_body) in zip(blocks, following, strict=True)
        if kind == "sh"
    ]


def run_examples(examples: list[Example], *, url: str, folder: Path) -> list[str]:
    """Run all blocks in one shell, in order, and return the output of each. The first error ends the test."""
    (folder / "data").symlink_to(ROOT / "data")
    blocks = [f"{{\n{each.shell}}} > {number}.out\n" for number, each in enumerate(examples)]
    script = "set -euo pipefail\n" + "".join(blocks).replace(_DOCUMENTED_URL, url)
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return [(folder / f"{number}.out").read_text() for number in range(len(examples))]


class StarterOnly:
    """Implements `Separators`: `starter` runs in place of every model, on an engine without a network."""

    def get(self, model: str) -> QuickSeparator:
        return QuickSeparator(model=STARTER)


@contextmanager
def running_service(folder: Path, *, redis: RedisAddress) -> Iterator[str]:
    """Yield the URL of a real API on a directory store, beside a worker in a thread."""
    environment = {"REDIS_HOST": redis.host, "REDIS_PORT": str(redis.port), "DEBUG_ENDPOINTS": "1"}
    environment["DATABASE_URL"] = f"sqlite:///{folder / 'catalogue.db'}"
    service = start_service(folder, STORE_DIR=str(folder / "store"), **environment)
    runner = _make_runner(bootstrap(service.settings), folder)
    thread = spawn(runner.run, name="worker")
    try:
        yield service.url
    finally:
        runner.stopping.set()
        thread.join(timeout=_TIMEOUT_S)
        service.kill()


def _make_runner(deps: Dependencies, folder: Path) -> JobRunner:
    handler = JobHandler(
        song_store=deps.song_store,
        separators=StarterOnly(),
        scratch=Scratch(folder),
        default_model=deps.settings.demucs_model,
        max_duration_s=deps.settings.max_duration_s,
    )
    return JobRunner(
        consumer=deps.queue.consumer("documents"),
        song_store=deps.song_store,
        handle=handler.handle,
        queue_policy=QueuePolicy(),
        stopping=threading.Event(),
        policy=WorkerPolicy(take_s=0.2),
    )
