"""The service as it runs on one machine: real queue, real store, HTTP in, stems out."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests

from msaas.directory_store import DirectoryStore
from msaas.tracks import Tracks
from msaas_local.ports import free_port
from msaas_local.stack import is_ready
from tests.cluster.kube import Api, new_song
from tests.servers import wait_until

_READY_S = 300.0
_ENDED_S = 7200.0
_POLL_S = 0.05
_HTTP_S = 30
#: What would lead the stack to other servers, or the worker to other models.
_FOREIGN = ("REDIS_HOST", "REDIS_PORT", "MINIO_HOST", "MODEL_FALLBACK", "PRECISION", "API_KEYS", "RATE_LIMIT")


@dataclass(frozen=True)
class Service:
    """One worker, warm once it has had a song."""

    api: Api
    stack: psutil.Process
    #: The weights that the worker loads.
    repo: Path
    tracks: Tracks

    def separated(self, song: Path) -> dict[str, bytes]:
        """Send the song under a new name, wait until it is done and fetch its stems."""
        return self.stems(self.done(new_song(song)))

    def done(self, mp3: bytes) -> str:
        job_id = self.api.send(mp3)
        wait_until(lambda: self.api.is_done(job_id), timeout_s=_ENDED_S, every_s=_POLL_S)
        return job_id

    def stems(self, job_id: str) -> dict[str, bytes]:
        return {stem: self.api.stem(job_id, stem) for stem in self.api.job(job_id)["stems"]}

    def arithmetic(self, job_id: str) -> str:
        """What the worker computed the stems in; it chooses that when it loads the model."""
        manifest = self.tracks.manifest(job_id)
        assert manifest
        return manifest.engine.rpartition("/")[-1]

    def pieces(self, job_id: str) -> dict[str, bytes]:
        """What can be heard of each stem while the job runs; nothing once it is done."""
        url = f"{self.api.url}/apiv1/job/{job_id}/pieces"
        answer = requests.get(url, timeout=_HTTP_S)
        if not answer.ok:
            return {}
        told = answer.json()
        sounds = {stem: _pieces(f"{url}/{stem}", told["pieces"]) for stem in told["stems"]}
        return sounds if all(sounds.values()) else {}

    def cpu_s(self) -> float:
        """What the stack's processes, and those that ended before them, have had of the processor."""
        return sum(map(_cpu_s, [self.stack, *self.stack.children(recursive=True)]))


def _pieces(url: str, count: int) -> bytes:
    """The pieces in a row; nothing if one is gone, for then the job is over."""
    answers = [requests.get(f"{url}/{number}", timeout=_HTTP_S) for number in range(1, count + 1)]
    return b"".join(answer.content for answer in answers) if all(answers) else b""


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:  # A decoder that has just ended: its parent has its time.
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


@contextlib.contextmanager
def running_service(home: Path, *, repo: Path) -> Iterator[Service]:
    port = free_port()
    settings = {
        "MSAAS_HOME": str(home),
        # Of its own: a worker that somebody left at the usual port would take its jobs.
        "REDIS_PORT": str(free_port()),
        "PORT": str(port),
        "MODEL_REPO": str(repo),
        "DEMUCS_MODEL": "htdemucs",
    }
    environment = {name: value for name, value in os.environ.items() if name not in _FOREIGN} | settings
    output = home.with_suffix(".out")
    with open(output, "wb") as file:
        command = [sys.executable, "-m", "msaas_local"]
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)  # noqa: S603
    api = Api(f"http://127.0.0.1:{port}")
    try:
        wait_until(lambda: _is_up(process, api.url, output), timeout_s=_READY_S, every_s=0.1)
        yield Service(api, psutil.Process(process.pid), repo, Tracks(DirectoryStore(home / "store")))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _is_up(process: subprocess.Popen[bytes], url: str, output: Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(output.read_text(errors="replace")[-2000:])
    return is_ready(url)
