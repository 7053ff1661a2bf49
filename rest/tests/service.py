"""A real service, as users start it: a process with an environment, on a free port."""

import io
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from msaas.jobs import Job
from msaas.manifest import Manifest
from msaas.queue import JobQueue, Outbox, Result
from msaas.redis_clients import connect
from msaas.stems import FOUR_STEMS
from msaas.tracks import Tracks
from msaas_rest.bootstrap import bootstrap
from msaas_rest.settings import RestSettings
from tests.servers import free_port, wait_until

ROOT = Path(__file__).parents[2]
SONG = min((ROOT / "data").glob("*.mp3"))
#: MPEG-1, layer III, 128 kbit/s, 44.1 kHz: 417 bytes, 1152 samples.
FRAME = b"\xff\xfb\x90\x00" + bytes(413)
_TIMEOUT_S = 20.0
_NOT_FOR_THE_CHILD = (
    *("REDIS_", "MINIO_", "STORE_", "DEMUCS_", "MAX_", "DEBUG_", "HOST", "PORT", "ALLOWED_"),
    *("API_", "RATE_"),
)


@dataclass
class Service:
    """The process, and what it and its tests share: queue and store."""

    process: subprocess.Popen[bytes]
    url: str
    settings: RestSettings
    log: Path

    def call(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        return requests.request(method, self.url + path, **{"timeout": _TIMEOUT_S, **kwargs})

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        return self.call("GET", path, **kwargs)

    def send(self, mp3: bytes, *, query: str = "", **kwargs: Any) -> requests.Response:
        """Send a song as it is."""
        headers = {"Content-Type": "audio/mpeg", **kwargs.pop("headers", {})}
        return self.call("POST", f"/apiv1/separate{query}", data=mp3, headers=headers, **kwargs)

    def send_as_json(self, **fields: Any) -> requests.Response:
        return self.call("POST", "/apiv1/separate", json=fields)

    def send_as_form(self, mp3: bytes, *, field: str = "mp3", **texts: str) -> requests.Response:
        return self.call("POST", "/apiv1/separate", files={field: mp3}, data=texts)

    @property
    def tracks(self) -> Tracks:
        return self.settings.tracks()

    @property
    def queue(self) -> JobQueue:
        return bootstrap(self.settings).queue

    @property
    def redis(self) -> Any:
        """Redis itself, for what no protocol tells."""
        return connect(self.settings.redis_address)

    @property
    def outbox(self) -> Outbox:
        return bootstrap(self.settings).outbox

    def work(self, *, model: str = "htdemucs") -> Job:
        """Do the worker's part for the next job; each stem's bytes name it."""
        consumer = self.queue.consumer("test-worker")
        payload = consumer.take(timeout_s=1.0)
        assert payload is not None
        job = Job.decode(payload)
        claim = consumer.claim(job, payload=payload)
        self.store_stems(job.songhash, model=model)
        consumer.finish(claim, Result(model, "cpu", FOUR_STEMS))
        return job

    def store_stems(self, job_id: str, *, model: str = "htdemucs") -> None:
        tracks = self.tracks
        tracks.prepare()
        bodies = {stem: io.BytesIO(self.stem_bytes(stem)) for stem in FOUR_STEMS}
        files = {stem: tracks.put_stem(job_id, stem, body) for stem, body in bodies.items()}
        tracks.put_manifest(Manifest(job_id, model, "0" * 64, "test", 1, 44100, stems=files))

    @staticmethod
    def stem_bytes(stem: str) -> bytes:
        return f"the {stem} ".encode() * 1000

    def answers(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(self.log.read_text())
        try:
            return self.get("/healthz").ok
        except requests.ConnectionError:
            return False

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=_TIMEOUT_S)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


SERVER = (str(ROOT / "rest" / "rest-server.py"),)


def started(folder: Path, *, command: tuple[str, ...] = SERVER, **environment: str) -> Service:
    """Start a service, and wait until it answers; nothing of its environment is inherited."""
    port = free_port()
    log = folder / f"rest-{port}.log"
    environment = {"PORT": str(port), **environment}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_FOR_THE_CHILD)}
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            env={**inherited, **environment},
            stdout=output,
            stderr=output,
        )
    settings: dict[str, Any] = {name.lower(): value for name, value in environment.items() if value}
    host = "[::1]" if environment.get("HOST") == "::1" else "127.0.0.1"
    service = Service(process, f"http://{host}:{port}", RestSettings(**settings), log)
    wait_until(service.answers)
    return service
