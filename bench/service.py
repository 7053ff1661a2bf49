"""The local stack under test: real queue, real store, HTTP in, stems out."""

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

from msaas.storage.directory import DirectoryStore
from msaas.storage.song_store import SongStore
from msaas_local.ports import free_port
from tests.cluster.kube import Api, new_song
from tests.servers import wait_until

_READY_S = 300.0
_ENDED_S = 7200.0
_POLL_S = 0.05
_HTTP_S = 30
#: Settings that would select other servers or models.
_FOREIGN = ("REDIS_HOST", "REDIS_PORT", "MINIO_HOST", "MODEL_FALLBACK", "PRECISION", "API_KEYS", "RATE_LIMIT")


@dataclass(frozen=True)
class Service:
    """A stack with one worker, which is warm after its first song."""

    api: Api
    stack: psutil.Process
    #: Folder of the weights that the worker loads.
    repo: Path
    song_store: SongStore

    def separate(self, song: Path) -> dict[str, bytes]:
        """Send the song under a new hash, wait until it is done and return its stems."""
        return self.stems(self.send_and_wait(new_song(song)))

    def send_and_wait(self, mp3: bytes) -> str:
        job_id = self.api.send(mp3)
        wait_until(lambda: self.api.is_done(job_id), timeout_s=_ENDED_S, every_s=_POLL_S)
        return job_id

    def stems(self, job_id: str) -> dict[str, bytes]:
        return {stem: self.api.stem(job_id, stem) for stem in self.api.job(job_id)["stems"]}

    def arithmetic(self, job_id: str) -> str:
        """Return the number format of the computation, which the worker chooses when it loads the model."""
        manifest = self.song_store.manifest(job_id)
        assert manifest
        return manifest.engine.rpartition("/")[-1]

    def fragments(self, job_id: str) -> dict[str, bytes]:
        """Return the stored fragments of each stem, joined, or nothing once the job is done."""
        url = f"{self.api.url}/apiv1/job/{job_id}/pieces"
        answer = requests.get(url, timeout=_HTTP_S)
        if not answer.ok:
            return {}
        found = answer.json()
        joined = {stem: _join_fragments(f"{url}/{stem}", found["pieces"]) for stem in found["stems"]}
        return joined if all(joined.values()) else {}

    def cpu_s(self) -> float:
        """Return the CPU time of all processes of the stack, ended ones included."""
        return sum(map(_cpu_s, [self.stack, *self.stack.children(recursive=True)]))


def _join_fragments(url: str, count: int) -> bytes:
    """Return the joined fragments, or nothing if one is gone, because then the job has ended."""
    answers = [requests.get(f"{url}/{number}", timeout=_HTTP_S) for number in range(1, count + 1)]
    return b"".join(answer.content for answer in answers) if all(answers) else b""


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:  # A decoder that has just ended: its time counts for its parent.
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


@contextlib.contextmanager
def running_service(home: Path, *, repo: Path) -> Iterator[Service]:
    port = free_port()
    settings = {
        "MSAAS_HOME": str(home),
        # A free port: a worker of another stack at the default port would take the jobs.
        "REDIS_PORT": str(free_port()),
        "PORT": str(port),
        "MODEL_REPO": str(repo),
        "DEMUCS_MODEL": "htdemucs",
    }
    environment = {name: value for name, value in os.environ.items() if name not in _FOREIGN} | settings
    output = home.with_suffix(".out")
    with open(output, "wb") as file:
        command = [sys.executable, "-m", "msaas_local"]
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
    api = Api(f"http://127.0.0.1:{port}")
    try:
        wait_until(lambda: _is_up(process, api.url, output), timeout_s=_READY_S, every_s=0.1)
        yield Service(api, psutil.Process(process.pid), repo, SongStore(DirectoryStore(home / "store")))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _is_up(process: subprocess.Popen[bytes], url: str, output: Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(output.read_text(errors="replace")[-2000:])
    try:
        answer = requests.get(f"{url}/readyz", timeout=_HTTP_S)
    except requests.ConnectionError:
        return False
    return answer.ok and answer.json()["workers"] > 0
