"""A queue, a store and real worker processes that are made to be killed."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from msaas.jobs import Job, JobState, JobStatus
from msaas.manifest import Manifest
from msaas.queue.protocol import QueuePolicy
from msaas.queue.redis.jobs import RedisQueue
from msaas.songs import song_hash
from msaas.storage.directory import DirectoryStore
from msaas.storage.song_store import SongStore
from tests.servers import RedisServer, wait_until

#: Scaled down from a minute, with room for a crowded machine.
POLICY = QueuePolicy(lease_s=3.0)
_SCRIPTS = Path(__file__).parents[1]
#: `HEAP_MAX_SIZE` of glibc's arena.c.
_HEAP_BYTES = 64 << 20
_START_S = 120.0
_JOB_S = 240.0
_ENDS = (JobState.DONE, JobState.FAILED)


def store_in(folder: Path) -> SongStore:
    song_store = SongStore(DirectoryStore(folder / "store"))
    song_store.prepare()
    return song_store


def further_heaps(pid: int) -> list[str]:
    """The mappings of glibc's arenas but the main one: 64 MiB each, in part without access."""
    lines = [line.split() for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
    places = [tuple(int(end, 16) for end in line[0].split("-")) for line in lines]
    return [
        " ".join(line)
        for line, (start, end), (next_start, next_end) in zip(lines, places, places[1:], strict=False)
        if start % _HEAP_BYTES == 0 and end == next_start and next_end == start + _HEAP_BYTES
    ]


class Worker:
    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self._log = log
        with open(log, "wb") as output:
            self._process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)

    def output(self) -> str:
        return self._log.read_text()

    def events(self) -> list[dict[str, Any]]:
        lines = self.output().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def has_said(self, event: str) -> bool:
        return any(line["event"] == event for line in self.events())

    def wait_until_said(self, event: str, *, timeout_s: float = _START_S) -> None:
        try:
            wait_until(lambda: self.has_said(event) or self._process.poll() is not None, timeout_s=timeout_s)
        except TimeoutError:
            raise TimeoutError(f"{event} was not said:\n{self.output()}") from None
        if not self.has_said(event):
            raise RuntimeError(f"the worker ended before {event}:\n{self.output()}")

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def further_heaps(self) -> list[str]:
        return further_heaps(self._process.pid)

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def exit_code(self, *, timeout_s: float = _START_S) -> int:
        return self._process.wait(timeout=timeout_s)

    def terminate(self, *, timeout_s: float) -> int:
        self.signal(signal.SIGTERM)
        return self.exit_code(timeout_s=timeout_s)


class Service:
    def __init__(self, redis_server: RedisServer, folder: Path, model_repo: Path) -> None:
        self.redis: Any = redis_server.client()
        self.queue = RedisQueue(redis_server.address, policy=POLICY)
        self.song_store = store_in(folder)
        self.scratch = folder / "tmp"
        self.scratch.mkdir()
        self.workers: list[Worker] = []
        self._folder = folder
        self._environment = {
            "PATH": os.environ["PATH"],
            "TMPDIR": str(self.scratch),
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(redis_server.port),
            "STORE_DIR": str(folder / "store"),
            "MODEL_REPO": str(model_repo),
            "HF_HOME": str(folder / "hub"),
            "HF_HUB_OFFLINE": "1",
            "PRECISION": "exact",
            "LEASE_SECONDS": str(POLICY.lease_s),
        }

    def start_worker(self, *, script: str | None = None, **settings: str) -> Worker:
        command = [sys.executable, *([str(_SCRIPTS / script)] if script else ["-m", "msaas_worker"])]
        log = self._folder / f"{len(self.workers)}.log"
        worker = Worker(command, {**self._environment, **settings}, log)
        self.workers.append(worker)
        return worker

    def run(self, script: str, *arguments: str) -> str:
        command = [sys.executable, str(_SCRIPTS / script), *arguments]
        told = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=True)
        return told.stdout

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()

    def put(self, mp3: bytes) -> str:
        job_id = song_hash(mp3)
        self.song_store.put_song(job_id, io.BytesIO(mp3), size_bytes=len(mp3))
        return job_id

    def enqueue(self, mp3: bytes, *, model: str | None = None) -> str:
        job_id = self.put(mp3)
        self.queue.enqueue(Job(job_id=job_id, options={"model": model} if model else {}))
        return job_id

    def status(self, job_id: str) -> JobStatus:
        status = self.queue.status(job_id)
        assert status
        return status

    def wait_for_end(self, job_id: str, *, timeout_s: float = _JOB_S) -> JobStatus:
        wait_until(lambda: (found := self.queue.status(job_id)) and found.state in _ENDS, timeout_s=timeout_s)
        return self.status(job_id)

    def wait_for_the_middle(self, job_id: str) -> None:
        wait_until(lambda: 0.1 < self.status(job_id).progress < 0.8, timeout_s=_JOB_S)

    def manifest(self, job_id: str) -> Manifest:
        manifest = self.song_store.whole_manifest(job_id)
        assert manifest
        return manifest

    def forget_results(self) -> None:
        for found in list(self.song_store.results()):
            self.song_store.store.delete(self.song_store.output_bucket, found.key)
