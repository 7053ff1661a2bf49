"""Short attacks on the `rest` of any release, to compare releases: a figure for each, in a minute or two.

    python -m bench.attacks                             # the release of this interpreter
    python -m bench.attacks --python OTHER/bin/python   # the release that is installed there
    python -m bench.attacks 5 6                         # single rows of docs/security-tests.md

The tests in `tests/attacks` check the present release. This script has no criteria: a release before them can
run it. Everything is on loopback, and bounded in number and time.
"""

import argparse
import hashlib
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests

from tests.servers import RedisServer, free_port, redis_running, wait_until

_MIB = 1024 * 1024
_FRAME = b"\xff\xfb\x90\x00" + bytes(413)
_SONG = _FRAME * 100
_ID = hashlib.sha256(_SONG).hexdigest()
_STEMS = ("drums", "bass", "other", "vocals")
_STEM_BYTES = 20_000_000
_BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
_MPEG = "Content-Type: audio/mpeg\r\n"
_JSON = "Content-Type: application/json\r\n"
_FOREIGN = ("REDIS_", "MINIO_", "STORE_", "MAX_", "API_", "RATE_", "HOST", "PORT", "LOG_")


@dataclass(frozen=True, kw_only=True)
class Target:
    """A running service and its Redis."""

    port: int
    process: psutil.Process
    redis: RedisServer

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def serving(self) -> list[psutil.Process]:
        """The process and its children: some servers have a worker below an arbiter."""
        return [self.process, *self.process.children(recursive=True)]

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
            return _receive(connection)

    def post(self, song: bytes, **fields: str) -> requests.Response:
        return requests.post(f"{self.url}/apiv1/separate", files={"mp3": song, **_texts(fields)}, timeout=120)

    def get(self, path: str, **headers: str) -> requests.Response:
        return requests.get(self.url + path, headers=headers, timeout=120)


def _receive(connection: socket.socket) -> bytes:
    """Return the bytes up to the end of the connection, or to a pause of 3 s."""
    connection.settimeout(3)
    received = b""
    with suppress(OSError):
        while chunk := connection.recv(65536):
            received += chunk
    return received


def _texts(fields: dict[str, str]) -> dict[str, Any]:
    return {name: (None, text) for name, text in fields.items()}


def _peak_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def _head(path: str, *, headers: str = "", method: str = "GET") -> str:
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"


# Attacks


def linger(target: Target) -> str:
    with ExitStack() as stack:
        for _ in range(10):
            client = stack.enter_context(target.connect())
            client.sendall(_head("/healthz", headers="Connection: close\r\n").encode())
        time.sleep(0.3)
        started = time.monotonic()
        target.get("/healthz")
        waited_s = time.monotonic() - started
    return f"another request takes {waited_s:.1f} s"


def read_nothing(target: Target) -> str:
    before = target.resident_bytes()
    with ExitStack() as stack:
        for _ in range(30):
            client = stack.enter_context(target.connect())
            client.sendall(_head(f"/apiv1/track/{_ID}/drums.mp3").encode())
            client.recv(13, socket.MSG_WAITALL)
        grown = target.resident_bytes() - before
    return f"+{grown / _MIB:.0f} MiB"


def ask_for_ranges(target: Target) -> str:
    before = target.written_bytes()
    with ThreadPoolExecutor(16) as threads:
        list(
            threads.map(
                lambda at: target.get(f"/apiv1/track/{_ID}/bass.mp3", Range=f"bytes={at}-{at}"), range(16)
            )
        )
    return f"{(target.written_bytes() - before) / 1e6:.0f} MB written"


def send_callbacks(target: Target) -> str:
    callback = json.dumps({"url": "http://127.0.0.1:9/", "data": "x" * 60_000})
    with _redis_limit(target, mib=6):
        statuses = Counter(target.post(_SONG, callback=callback).status_code for _ in range(150))
        used = target.redis.client().info("memory")["used_memory"] / _MIB
        other = target.post(_SONG + b"another").status_code
    return f"{dict(statuses)}, Redis uses {used:.1f} MiB, the next song is {other}"


@contextmanager
def _redis_limit(target: Target, *, mib: float) -> Iterator[None]:
    client = target.redis.client()
    client.config_set("maxmemory", str(int(mib * _MIB)))
    try:
        yield
    finally:
        client.config_set("maxmemory", "0")
        client.flushall()


def send_large_json(target: Target) -> str:
    target.reset_peaks()
    before = target.peak_bytes()
    body = b'{"mp3": "' + b"QUJD" * (50 * _MIB // 4) + "\U0001f600".encode()
    answer = requests.post(
        f"{target.url}/apiv1/separate", data=body, headers={"Content-Type": "application/json"}, timeout=120
    )
    return f"{answer.status_code}, +{(target.peak_bytes() - before) / _MIB:.0f} MiB"


def hold_the_budget(target: Target) -> str:
    """One client stops in the middle of six uploads. Another one, at another address, sends a song."""
    part = b'{"mp3": "' + b"QUJD" * (5 * _MIB // 8)
    head = _head("/apiv1/separate", method="POST", headers=f"{_JSON}Content-Length: {len(part) + 1000}\r\n")
    song = _FRAME * (3 * _MIB // 2 // len(_FRAME))
    with ExitStack() as stack:
        for _ in range(6):
            client = stack.enter_context(target.connect())
            client.settimeout(1)
            # The service may stop to read, or refuse the upload.
            with suppress(OSError):
                client.sendall(head.encode() + part)
            time.sleep(0.3)
        with target.connect(address="127.0.0.2") as other:
            length = f"{_MPEG}Content-Length: {len(song)}\r\nConnection: close\r\n"
            with suppress(OSError):
                other.sendall(_head("/apiv1/separate", method="POST", headers=length).encode() + song)
            answer = other.recv(4096)
    return f"a song of 1.5 MiB is {_status(answer)}"


def _status(answer: bytes) -> str:
    words = answer.split(b" ", 2)
    return words[1].decode() if len(words) > 1 else "not answered"


def send_script_name(target: Target) -> str:
    return _status(target.send_raw(_head("/healthz", headers="SCRIPT_NAME: /x\r\nConnection: close\r\n")))


def send_no_host(target: Target) -> str:
    return _status(target.send_raw("GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n"))


def break_a_chunk(target: Target) -> str:
    """The chunk follows after the answer. A second answer would belong to no request."""
    with target.connect() as connection:
        connection.sendall(_head("/healthz", headers="Transfer-Encoding: chunked\r\n").encode())
        answers = connection.recv(65536)
        connection.sendall(b"not a chunk\r\n")
        answers += _receive(connection)
    return f"answers: {answers.count(b'HTTP/1.1 ')}"


def list_the_queue(target: Target) -> str:
    client = target.redis.client()
    client.lpush("toWorkers", *(f"{number:064x}" for number in range(20_000)))
    size = len(target.get("/apiv1/queue").content)
    client.flushall()
    return f"{size / 1000:.0f} kB"


def show_an_image(target: Target) -> str:
    """A browser sends neither Sec-Fetch-Site nor Origin for an image of another site over plain HTTP."""
    answer = target.get(f"/apiv1/remove/{_ID}/vocals", **{"User-Agent": _BROWSER})
    return f"{answer.status_code}"


def probe_a_full_redis(target: Target) -> str:
    with _redis_limit(target, mib=0.5):
        ready = target.get("/readyz").status_code
        song = target.post(_SONG + b"full").status_code
    return f"`/readyz` is {ready}, a song is {song}"


def poison_a_status(target: Target) -> str:
    job = hashlib.sha256(_SONG + b"poisoned").hexdigest()
    target.post(_SONG + b"poisoned")
    client = target.redis.client()
    found = []
    for name, value in {"state": "weird", "progress": "nan"}.items():
        kept = client.hget(f"job:{job}", name)
        client.hset(f"job:{job}", name, value)
        answer = target.get(f"/apiv1/job/{job}")
        found.append(
            f"`{name}={value}` is {answer.status_code}{'' if _is_strict(answer.text) else ' with NaN'}"
        )
        client.hset(f"job:{job}", name, kept or "")
    client.flushall()
    return ", ".join(found)


def _is_strict(text: str) -> bool:
    constants: list[str] = []
    json.loads(text, parse_constant=constants.append)
    return not constants


def send_infinity(target: Target) -> str:
    callback = '{"url": "http://127.0.0.1:9/", "data": [1e999]}'
    return f"{target.post(_SONG + b'infinite', callback=callback).status_code}"


def guess_keys(target: Target) -> str:
    statuses = Counter(
        target.get("/apiv1/queue", Authorization=f"Bearer guess-{number:016}").status_code
        for number in range(60)
    )
    return f"{dict(statuses)}"


def begin_uploads(target: Target) -> str:
    length = f"{_MPEG}Content-Length: {len(_SONG) + 8}\r\nConnection: close\r\n"
    head = _head("/apiv1/separate", method="POST", headers=length).encode()
    with ExitStack() as stack:
        clients = [stack.enter_context(target.connect()) for _ in range(40)]
        for client in clients:
            client.sendall(head + _SONG)
        time.sleep(1)
        for number, client in enumerate(clients):
            client.sendall(bytes([number]) * 8)
        statuses = Counter(_status(client.recv(4096)) for client in clients)
    return f"{dict(statuses)}"


@dataclass(frozen=True, kw_only=True)
class Attack:
    row: int
    damage: str
    run: Callable[[Target], str]
    environment: dict[str, str] = field(default_factory=dict)


ATTACKS = (
    Attack(row=1, damage="10 clients linger", run=linger),
    Attack(row=2, damage="30 clients read nothing of a stem of 20 MB", run=read_nothing),
    Attack(row=2, damage="16 ranges of one byte of a stem of 20 MB", run=ask_for_ranges),
    Attack(row=3, damage="150 callbacks of 60 kB for a finished song, Redis of 6 MiB", run=send_callbacks),
    Attack(row=4, damage="JSON of 50 MiB that ends with an emoji", run=send_large_json),
    Attack(row=6, damage="header `SCRIPT_NAME`", run=send_script_name),
    Attack(row=6, damage="HTTP/1.1 without Host", run=send_no_host),
    Attack(row=6, damage="a broken chunk after a GET", run=break_a_chunk),
    Attack(row=8, damage="`/apiv1/queue` with 20,000 entries", run=list_the_queue),
    Attack(row=9, damage="an image without referrer removes a stem", run=show_an_image),
    Attack(row=10, damage="a full Redis", run=probe_a_full_redis),
    Attack(row=10, damage="invalid fields of a job", run=poison_a_status),
    Attack(row=12, damage="`1e999` in `data`", run=send_infinity),
    Attack(
        row=5,
        damage="6 uploads of one client stop half-way, a budget of 16 MiB",
        run=hold_the_budget,
        environment={"MAX_UPLOAD_MB": "2", "MAX_IN_FLIGHT_MB": "16"},
    ),
    Attack(
        row=8,
        damage="60 wrong keys, `RATE_LIMIT=10/minute`",
        run=guess_keys,
        environment={"API_KEYS": "a-key-of-the-operator", "RATE_LIMIT": "10/minute"},
    ),
    Attack(
        row=8, damage="40 begun uploads, `MAX_QUEUED=3`", run=begin_uploads, environment={"MAX_QUEUED": "3"}
    ),
)


@contextmanager
def serving(python: str, folder: Path, environment: dict[str, str]) -> Iterator[Target]:
    store, port = folder / "store", free_port()
    _store_result(store)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    with redis_running(folder / "redis") as redis, open(folder / "log", "wb") as log:
        settings = {
            "PORT": str(port),
            "REDIS_HOST": redis.address.host,
            "REDIS_PORT": str(redis.address.port),
            "STORE_DIR": str(store),
            **environment,
        }
        process = subprocess.Popen(
            [python, "-m", "msaas_rest"], cwd=folder, env={**inherited, **settings}, stdout=log, stderr=log
        )
        target = Target(port=port, process=psutil.Process(process.pid), redis=redis)
        try:
            wait_until(lambda: process.poll() is not None or _answers(target))
            if process.poll() is not None:
                raise RuntimeError((folder / "log").read_text())
            yield target
        finally:
            for each in target.serving:
                each.kill()
            process.wait()


def _answers(target: Target) -> bool:
    with suppress(requests.ConnectionError):
        return target.get("/healthz").ok
    return False


def _store_result(store: Path) -> None:
    """Write the song and its stems as a worker stores them, in a form that all releases read."""
    songs, results = store / "input-tracks", store / "output-tracks"
    stem = bytes(_STEM_BYTES)
    described = {"sha256": hashlib.sha256(stem).hexdigest(), "size_bytes": len(stem)}
    for folder in (songs, results):
        folder.mkdir(parents=True)
    (songs / f"{_ID}.mp3").write_bytes(_SONG)
    for name in _STEMS:
        (results / f"{_ID}-{name}.mp3").write_bytes(stem)
    manifest = {
        "songhash": _ID,
        "model": "htdemucs",
        "weights_sha256": "0" * 64,
        "engine": "test",
        "samples": 1,
        "samplerate": 44100,
        "options": {},
        "stems": {name: {"file": f"{_ID}-{name}.mp3", **described} for name in _STEMS},
    }
    (results / f"{_ID}.json").write_text(json.dumps(manifest))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", default=sys.executable, help="the interpreter of the release to attack")
    parser.add_argument("rows", nargs="*", type=int, help="rows of the table (default: all)")
    args = parser.parse_args()
    chosen = [attack for attack in ATTACKS if not args.rows or attack.row in args.rows]
    print("| row | attack | figure |\n|---|---|---|")
    for environment, attacks in itertools.groupby(chosen, key=lambda attack: attack.environment):
        with (
            tempfile.TemporaryDirectory() as folder,
            serving(os.path.abspath(args.python), Path(folder), environment) as target,
        ):
            for attack in attacks:
                print(f"| {attack.row} | {attack.damage} | {attack.run(target)} |", flush=True)


if __name__ == "__main__":
    main()
