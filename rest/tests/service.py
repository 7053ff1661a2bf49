"""A real service, as users start it: a process with an environment, on a free port."""

import io
import itertools
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import requests
from rest.tests.described import JSON, check_described

from msaas.bootstrap import (
    open_history_queue,
    open_outbox,
    open_queue,
    open_song_registry,
    open_song_store,
    redis_address,
)
from msaas.jobs import Job
from msaas.manifest import Manifest
from msaas.models import FOUR_STEMS
from msaas.queue.consumer import Claim, Consumer, Result
from msaas.queue.history import HistoryQueue
from msaas.queue.outbox import Outbox
from msaas.queue.protocol import JobQueue
from msaas.queue.redis.clients import connect
from msaas.queue.song_registry import SongRegistry
from msaas.storage.song_store import SongStore
from msaas_rest.settings import RestSettings
from tests.servers import wait_until

ROOT = Path(__file__).parents[2]
SERVER = (str(ROOT / "rest" / "rest-server.py"),)
SONG = min((ROOT / "data").glob("*.mp3"))
#: MPEG-1, layer III, 128 kbit/s, 44.1 kHz: 417 bytes, 1152 samples.
FRAME = b"\xff\xfb\x90\x00" + bytes(413)
_TIMEOUT_S = 60.0
_NOT_FOR_THE_CHILD = (
    *("REDIS_", "MINIO_", "STORE_", "DEMUCS_", "MAX_", "DEBUG_", "HOST", "PORT", "ALLOWED_"),
    *("API_", "RATE_", "LOG_", "FETCH_", "CORS_", "DATABASE_"),
    *("WORKER_", "QUEUE", "BROKER_", "REGISTRATION"),
)
_numbers = itertools.count()


@dataclass(kw_only=True)
class Service:
    """The process, and the queue and store that it shares with its tests."""

    process: subprocess.Popen[bytes]
    url: str
    settings: RestSettings
    log: Path

    def call(
        self, method: str, path: str, *, session: requests.Session | None = None, **kwargs: Any
    ) -> requests.Response:
        """Send a request. Its reply is compared with the OpenAPI document."""
        send = session.request if session else requests.request
        reply = send(method, self.url + path, **{"timeout": _TIMEOUT_S, **kwargs})
        media_type = reply.headers.get("Content-Type", "").partition(";")[0]
        body = reply.json() if media_type in JSON and reply.content and not kwargs.get("stream") else None
        check_described(method, urlsplit(path).path, reply.status_code, media_type, body)
        return reply

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        return self.call("GET", path, **kwargs)

    def send(self, mp3: bytes, *, query: str = "", **kwargs: Any) -> requests.Response:
        """Send a song as a raw body."""
        headers = {"Content-Type": "audio/mpeg", **kwargs.pop("headers", {})}
        return self.call("POST", f"/apiv1/separate{query}", data=mp3, headers=headers, **kwargs)

    def send_as_json(self, body: Any, **kwargs: Any) -> requests.Response:
        return self.call("POST", "/apiv1/separate", json=body, **kwargs)

    def send_as_form(self, files: dict[str, Any], **kwargs: Any) -> requests.Response:
        """Send `files` as file parts, and `data` as text fields."""
        return self.call("POST", "/apiv1/separate", files=files, **kwargs)

    @property
    def song_store(self) -> SongStore:
        return open_song_store(self.settings)

    @property
    def queue(self) -> JobQueue:
        return open_queue(self.settings)

    @property
    def registry(self) -> SongRegistry:
        return open_song_registry(self.settings)

    @property
    def history(self) -> HistoryQueue:
        return open_history_queue(self.settings)

    @property
    def outbox(self) -> Outbox:
        return open_outbox(self.settings)

    @property
    def redis(self) -> Any:
        """Redis itself, for facts that no protocol has."""
        return connect(redis_address(self.settings))

    @property
    def serving(self) -> psutil.Process:
        return psutil.Process(self.process.pid)

    def claim(self) -> tuple[Consumer, Claim]:
        """Begin the attempt at the next job, as a worker does."""
        consumer = self.queue.consumer("test-worker")
        payload = consumer.take(timeout_s=1.0)
        assert payload is not None
        return consumer, consumer.claim(Job.decode(payload), payload=payload)

    def work(self, *, model: str = "htdemucs") -> Job:
        """Do the part of the worker for the next job. The bytes of each stem name it."""
        consumer, claim = self.claim()
        job = claim.job
        self.store_stems(job.job_id, model=model, options=dict(job.options))
        consumer.finish(claim, Result(model=model, device="cpu", stems=FOUR_STEMS))
        return job

    def store_stems(
        self, job_id: str, *, model: str = "htdemucs", options: dict[str, Any] | None = None
    ) -> None:
        store_stems(self.song_store, job_id, model=model, options=options)

    def answers(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(self.log.read_text())
        try:
            return self.get("/healthz").ok
        except requests.ConnectionError:
            return False

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def stem_bytes(stem: str) -> bytes:
    return f"the {stem} ".encode() * 1000


def store_stems(
    song_store: SongStore,
    job_id: str,
    *,
    model: str = "htdemucs",
    stems: tuple[str, ...] = FOUR_STEMS,
    options: dict[str, Any] | None = None,
    title: str = "",
) -> None:
    """Store a result as a worker does."""
    song_store.prepare()
    files = {stem: song_store.put_stem(job_id, stem, io.BytesIO(stem_bytes(stem))) for stem in stems}
    song_store.put_manifest(
        Manifest(
            job_id=job_id,
            model=model,
            weights_sha256="0" * 64,
            engine="test",
            samples=1,
            samplerate=44100,
            stems=files,
            options=options or {},
            title=title,
        )
    )


def start_service(folder: Path, *, command: tuple[str, ...] = SERVER, **environment: str) -> Service:
    """Start a service and wait until it answers. It inherits none of the settings of the test run.

    The system chooses its port: a free port of our choice could be taken before its use.
    """
    environment = {"PORT": "0", **environment}
    log = folder / f"rest-{next(_numbers)}.log"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_FOR_THE_CHILD)}
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command], env={**inherited, **environment}, stdout=output, stderr=output
        )
    wait_until(lambda: process.poll() is not None or _listening_port(process.pid))
    if process.poll() is not None:
        raise RuntimeError(log.read_text())
    port = _listening_port(process.pid)
    settings = {name.lower(): value for name, value in environment.items() if value}
    host = "[::1]" if environment.get("HOST") == "::1" else "127.0.0.1"
    service = Service(
        process=process,
        url=f"http://{host}:{port}",
        settings=RestSettings(**{**settings, "port": port}),  # type: ignore[arg-type]
        log=log,
    )
    wait_until(service.answers)
    return service


def _listening_port(pid: int) -> int:
    """Return 0 while the process does not listen."""
    connections = psutil.Process(pid).net_connections("tcp")
    return next((each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN), 0)
