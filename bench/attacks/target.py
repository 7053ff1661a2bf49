"""The services of a release under attack, with an empty Redis and a new store."""

import hashlib
import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests
from bench.attacks.release import Release, start, stop

from tests.servers import RedisServer, free_port, redis_running, wait_until

MIB = 1024 * 1024
FRAME = b"\xff\xfb\x90\x00" + bytes(413)
#: A song with a stored result.
SONG = FRAME * 100
SONG_ID = hashlib.sha256(SONG).hexdigest()
MPEG = "Content-Type: audio/mpeg\r\n"
JSON = "Content-Type: application/json\r\n"
INPUT, OUTPUT = "input-tracks", "output-tracks"
_STEMS = ("drums", "bass", "other", "vocals")
_STEM_BYTES = 20_000_000


def song_id_of(song: bytes) -> str:
    return hashlib.sha256(song).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Target:
    """A running `rest` of a release, and its Redis and store."""

    release: Release
    port: int
    process: subprocess.Popen[bytes]
    redis: RedisServer
    folder: Path
    settings: dict[str, str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def store(self) -> Path:
        return Path(self.settings["STORE_DIR"])

    @property
    def log(self) -> Path:
        return self.folder / "msaas_rest.log"

    @property
    def serving(self) -> list[psutil.Process]:
        """The process and its children: some servers have a worker below an arbiter."""
        process = psutil.Process(self.process.pid)
        return [process, *process.children(recursive=True)]

    def peak_bytes(self) -> int:
        """Return the largest resident memory since `reset_peaks`."""
        return max(_peak_kib(each.pid) for each in self.serving) * 1024

    def reset_peaks(self) -> None:
        for each in self.serving:
            Path(f"/proc/{each.pid}/clear_refs").write_text("5")

    def resident_bytes(self) -> int:
        return sum(each.memory_info().rss for each in self.serving)

    def written_bytes(self) -> int:
        return sum(each.io_counters().write_chars for each in self.serving)

    def connect(self, *, address: str = "127.0.0.1") -> socket.socket:
        connection = socket.create_connection(
            ("127.0.0.1", self.port), timeout=60, source_address=(address, 0)
        )
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        return connection

    def send_raw(self, text: str) -> bytes:
        with self.connect() as connection:
            connection.sendall(text.encode())
            return receive(connection)

    def post(self, song: bytes, **fields: str) -> requests.Response:
        texts: dict[str, Any] = {name: (None, text) for name, text in fields.items()}
        return requests.post(f"{self.url}/apiv1/separate", files={"mp3": song, **texts}, timeout=120)

    def get(self, path: str, **headers: str) -> requests.Response:
        return requests.get(self.url + path, headers=headers, timeout=120)

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/apiv1/job/{job_id}").json()
        return found

    @contextmanager
    def running(self, *modules: str, **settings: str) -> Iterator[None]:
        """Run further services of the release, those that it has."""
        present = [module for module in modules if self.release.has(module)]
        started = [
            start(self.release, module, self.folder, {**self.settings, **settings}) for module in present
        ]
        try:
            yield
        finally:
            for each in started:
                stop(each)


@contextmanager
def serving(release: Release, folder: Path, environment: dict[str, str]) -> Iterator[Target]:
    port, store = free_port(), folder / "store"
    store_result(store, SONG, stem_bytes=_STEM_BYTES)
    with redis_running(folder / "redis") as redis:
        settings = {
            "PORT": str(port),
            "REDIS_HOST": redis.address.host,
            "REDIS_PORT": str(redis.address.port),
            "STORE_DIR": str(store),
            **environment,
        }
        process = start(release, "msaas_rest", folder, settings)
        target = Target(
            release=release, port=port, process=process, redis=redis, folder=folder, settings=settings
        )
        try:
            wait_until(lambda: process.poll() is not None or _answers(target))
            if process.poll() is not None:
                raise RuntimeError(target.log.read_text())
            yield target
        finally:
            stop(process)


def _answers(target: Target) -> bool:
    with suppress(requests.ConnectionError):
        return target.get("/healthz").ok
    return False


def store_result(store: Path, song: bytes, *, stem_bytes: int) -> None:
    """Write a song and its stems as a worker stores them, in a form that all releases read."""
    songs, results, song_id = store / INPUT, store / OUTPUT, song_id_of(song)
    stem = bytes(stem_bytes)
    described = {"sha256": hashlib.sha256(stem).hexdigest(), "size_bytes": len(stem)}
    for folder in (songs, results):
        folder.mkdir(parents=True, exist_ok=True)
    (songs / f"{song_id}.mp3").write_bytes(song)
    for name in _STEMS:
        (results / f"{song_id}-{name}.mp3").write_bytes(stem)
    manifest = {
        "songhash": song_id,
        "model": "htdemucs",
        "weights_sha256": "0" * 64,
        "engine": "test",
        "samples": 1,
        "samplerate": 44100,
        "options": {},
        "stems": {name: {"file": f"{song_id}-{name}.mp3", **described} for name in _STEMS},
    }
    (results / f"{song_id}.json").write_text(json.dumps(manifest))


@dataclass(frozen=True, kw_only=True)
class Attack:
    """An attack on running services. `row` is one of docs/security-tests.md."""

    row: int
    damage: str
    run: Callable[[Target], str]
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Check:
    """A figure of a release that needs no service. `run` gets an empty folder."""

    row: int
    damage: str
    run: Callable[[Release, Path], str]


# Raw HTTP


def head_of(path: str, *, headers: str = "", method: str = "GET") -> str:
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"


def status_of(answer: bytes) -> str:
    words = answer.split(b" ", 2)
    return words[1].decode() if len(words) > 1 else "not answered"


def receive(connection: socket.socket) -> bytes:
    """Return the bytes up to the end of the connection, or to a pause of 3 s."""
    connection.settimeout(3)
    received = b""
    with suppress(OSError):
        while chunk := connection.recv(65536):
            received += chunk
    return received


def _peak_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])
