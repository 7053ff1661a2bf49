"""Runs the shell blocks of a document against real services and a real worker, and compares their output.

A block `json` or `text` after a block `sh` is the sample of its output (`tests/samples.py`). A block `sh`
that begins with `make up` is not run: a further service with its variables is started.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping, Set
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rest.tests.service import start_service
from rest.tests.song_site import SongSite, file

from msaas.background import spawn
from msaas.bootstrap import open_history_queue
from msaas.models import STARTER
from msaas.queue.protocol import QueuePolicy
from msaas.queue.redis.clients import RedisAddress
from msaas_keeper.history import move_history
from msaas_rest.bootstrap import Dependencies, bootstrap
from msaas_worker.audio.decoded import Audio, DecodedSong
from msaas_worker.job.handler import JobHandler
from msaas_worker.job.policy import WorkerPolicy
from msaas_worker.job.runner import JobRunner
from msaas_worker.scratch import Scratch
from msaas_worker.separators import OVERLAP, OnProgress
from tests.faults.quick_engine import QuickSeparator
from tests.samples import compare_json, compare_text

ROOT = Path(__file__).parents[1]
#: The addresses in the documents: of the service, of one with other variables, and of a song in the web.
_SERVICE, _HOST = "http://localhost:5000", "http://localhost:"
_SONG_URL = "https://example.com/song.mp3"
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
_START = "make up "
#: Variables of the local stack, which no service reads.
_LOCAL = {"PORT", "MSAAS_HOME"}
_SAMPLES = {"json", "text"}
_TIMEOUT_S = 120.0
#: Time for a second of song and a shift, in s: a job with ten shifts can be cancelled.
_SHIFT_PACE = 0.2


@dataclass(frozen=True)
class Example:
    """A shell block, and the sample of its output that follows it, if any."""

    shell: str
    kind: str = ""
    sample: str = ""

    @property
    def started(self) -> dict[str, str] | None:
        """The variables of the service that this block starts."""
        if not self.shell.startswith(_START):
            return None
        words = (word.partition("=") for word in shlex.split(self.shell, comments=True)[2:])
        return {name: value for name, _, value in words}

    def compare(self, output: str, *, varying: Set[str] = frozenset()) -> list[str]:
        """Return the differences between the output and the sample."""
        if self.kind == "json":
            return compare_json(json.loads(output), json.loads(self.sample), varying=varying)
        return compare_text(output, self.sample) if self.kind == "text" else []


def find_blocks(text: str) -> list[tuple[str, str]]:
    """Return the language and the text of each block. Indented ones belong to lists and are left out."""
    return _FENCED.findall(text)


def find_examples(text: str) -> list[Example]:
    """Return the `sh` blocks of a Markdown text, each with the sample that follows it."""
    blocks = find_blocks(text)
    following = [*blocks, ("", "")][1:]
    return [
        Example(body, *next_block) if next_block[0] in _SAMPLES else Example(body)
        for (kind, body), next_block in zip(blocks, following, strict=True)
        if kind == "sh"
    ]


def runnable(examples: list[Example]) -> list[Example]:
    """Leave out what starts a service, and what needs a program that is missing outside CI."""
    has_redis_cli = shutil.which("redis-cli") or os.environ.get("CI") == "true"
    return [
        each
        for each in examples
        if each.started is None and (has_redis_cli or not each.shell.startswith("redis-cli "))
    ]


def run_examples(examples: list[Example], *, replaced: Mapping[str, str], folder: Path) -> list[str]:
    """Run all blocks in one shell, in order, and return the output of each. The first error ends the test.

    `replaced` has texts of the document, and those of the test in their place.
    """
    (folder / "data").symlink_to(ROOT / "data")
    blocks = [f"{{\n{each.shell}}} > {number}.out\n" for number, each in enumerate(examples)]
    script = "set -euo pipefail\n" + "".join(blocks)
    for documented, text in replaced.items():
        script = script.replace(documented, text)
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return [(folder / f"{number}.out").read_text() for number in range(len(examples))]


class ShiftingSeparator(QuickSeparator):
    """Takes its time for each shift."""

    def separate(
        self,
        song: DecodedSong,
        *,
        stems: tuple[str, ...],
        on_progress: OnProgress,
        overlap: float = OVERLAP,
        shifts: int = 0,
    ) -> Iterator[Audio]:
        quick = QuickSeparator(model=self.model, pace=_SHIFT_PACE * shifts)
        return quick.separate(song, stems=stems, on_progress=on_progress)


class StarterOnly:
    """Implements `Separators`: `starter` runs in place of every model, on an engine without a network."""

    def get(self, model: str) -> QuickSeparator:
        return ShiftingSeparator(model=STARTER)


@contextmanager
def running_services(
    examples: list[Example], folder: Path, *, redis: RedisAddress
) -> Iterator[dict[str, str]]:
    """Run the services of a document, and a site with a song. Yield the texts that replace others."""
    with ExitStack() as stack:
        song = (ROOT / "data" / "northern-lights.mp3").read_bytes()
        site = stack.enter_context(SongSite({"/song.mp3": file(song)}))
        replaced = {
            "redis-cli ": f"redis-cli --no-raw -h {redis.host} -p {redis.port} ",
            _SONG_URL: site.url("/song.mp3"),
            _SERVICE: stack.enter_context(_running_service(folder, redis=redis)),
        }
        for number, variables in enumerate((each.started for each in examples if each.started), start=1):
            replaced[_HOST + variables["PORT"]] = stack.enter_context(
                _running_api(folder, variables, number=number, redis=redis)
            )
        yield replaced


@contextmanager
def _running_service(folder: Path, *, redis: RedisAddress) -> Iterator[str]:
    """Yield the URL of a real API on a directory store. A worker and a keeper are threads."""
    service = start_service(
        folder,
        STORE_DIR=str(folder / "store"),
        DEBUG_ENDPOINTS="1",
        DATABASE_URL=f"sqlite:///{folder / 'catalogue.db'}",
        FETCH_ALLOW_PRIVATE="127.0.0.0/8",
        **_environment(redis),
    )
    deps = bootstrap(service.settings)
    runner = _make_runner(deps, folder)
    thread = spawn(runner.run, name="worker")
    spawn(_keep_history, deps, runner.stopping, name="history")
    try:
        yield service.url
    finally:
        runner.stopping.set()
        thread.join(timeout=_TIMEOUT_S)
        service.kill()


def _keep_history(deps: Dependencies, stopping: threading.Event) -> None:
    queue = open_history_queue(deps.settings)
    while not stopping.wait(0.1):
        move_history(queue, deps.catalogue.open().history)


@contextmanager
def _running_api(
    folder: Path, variables: Mapping[str, str], *, number: int, redis: RedisAddress
) -> Iterator[str]:
    """Yield the URL of a real API with these variables, and a queue and a store of its own."""
    settings = {name: value for name, value in variables.items() if name not in _LOCAL}
    service = start_service(
        folder,
        STORE_DIR=str(folder / f"store-{number}"),
        REDIS_DB=str(number),
        **settings,
        **_environment(redis),
    )
    try:
        yield service.url
    finally:
        service.kill()


def _environment(redis: RedisAddress) -> dict[str, str]:
    return {"REDIS_HOST": redis.host, "REDIS_PORT": str(redis.port)}


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
