"""Rate of `POST /apiv1/separate` with songs of 5 MB from 32 clients, against a bare Flask app, in turn.

    python -m bench.upload_rate [--pairs 5] [--requests 200]

The bare app decodes the base64, hashes the song, writes it and calls fsync. It runs on gunicorn with 32
threads (pip install gunicorn). The service also checks the frames, looks into queue and store, and enqueues.
"""

import argparse
import asyncio
import base64
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.servers import free_port, redis_running, wait_until

_CLIENTS = 32
_SONG_BYTES = 5_000_000
_FRAME = b"\xff\xfb\x90\x00" + bytes(413)


def serve_bare(port: int) -> None:
    import hashlib

    from flask import Flask, request
    from gunicorn.app.base import BaseApplication

    folder = Path(tempfile.mkdtemp(dir=os.environ["STORE_DIR"]))
    app = Flask(__name__)

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "up"}

    @app.post("/apiv1/separate")
    def separate() -> dict[str, str]:
        song = base64.b64decode(request.get_json()["mp3"])
        song_hash = hashlib.sha256(song).hexdigest()
        with open(folder / song_hash, "wb") as file:
            file.write(song)
            file.flush()
            os.fsync(file.fileno())
        return {"hash": song_hash}

    class Server(BaseApplication):
        def load_config(self) -> None:
            for name, value in {
                "bind": f"127.0.0.1:{port}",
                "threads": _CLIENTS,
                "loglevel": "error",
            }.items():
                self.cfg.set(name, value)

        def load(self) -> Flask:
            return app

    Server().run()


def _song(number: int) -> bytes:
    frames = _FRAME * (_SONG_BYTES // len(_FRAME) - 1)
    return frames + _FRAME[:-8] + number.to_bytes(8, "big")


@contextmanager
def running_service(
    folder: Path, *, module: tuple[str, ...] = ("-m", "msaas_rest"), port: int = 0, **settings: str
) -> Iterator[tuple[int, psutil.Process]]:
    """Start the service, or another one, with Redis and a directory store."""
    port = port or free_port()
    with redis_running(folder / "redis", aof=True) as redis:
        environment = {
            **os.environ,
            "REDIS_HOST": redis.address.host,
            "REDIS_PORT": str(redis.address.port),
            "STORE_DIR": str(folder),
            "PORT": str(port),
            **settings,
        }
        log = open(folder / "log", "wb")  # noqa: SIM115 - the process writes it
        process = subprocess.Popen([sys.executable, *module], env=environment, stdout=log, stderr=log)
        try:
            wait_until(lambda: _answers(port))
            yield port, psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait()


@contextmanager
def _running(name: str, folder: Path) -> Iterator[int]:
    port = free_port()
    bare = ("-m", "bench.upload_rate", "--serve", str(port))
    with running_service(folder, module=("-m", "msaas_rest") if name == "own" else bare, port=port) as (_, _):
        yield port


def _answers(port: int) -> bool:
    with suppress(OSError):
        return (
            asyncio.run(
                _exchange(port, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            )
            == 200
        )
    return False


async def _exchange(port: int, *parts: bytes) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await writer.drain()
    answer = await reader.read(65536)
    writer.transport.abort()
    return int(answer.split(b" ", 2)[1])


async def _send_all(port: int, *, first: int, requests: int) -> tuple[list[int], list[float]]:
    """Return the statuses, and the seconds that the requests took."""
    numbers = iter(range(first, first + requests))
    statuses, seconds = [], []
    common = base64.b64encode(_song(0)[:-8][: (_SONG_BYTES - 1000) // 3 * 3])

    async def client() -> None:
        for number in numbers:
            tail = base64.b64encode(_song(number)[len(common) // 4 * 3 :])
            size = len(common) + len(tail) + 11
            head = (
                "POST /apiv1/separate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                f"Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
            )
            started = time.monotonic()
            statuses.append(await _exchange(port, head.encode() + b'{"mp3": "', common, tail + b'"}'))
            seconds.append(time.monotonic() - started)

    await asyncio.gather(*(client() for _ in range(_CLIENTS)))
    return statuses, seconds


def measure(name: str, *, first: int, requests: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, _running(name, Path(folder)) as port:
        asyncio.run(_send_all(port, first=first, requests=_CLIENTS))
        started = time.monotonic()
        statuses, seconds = asyncio.run(_send_all(port, first=first + _CLIENTS, requests=requests))
        rate = requests / (time.monotonic() - started)
    refused = sum(status != 200 for status in statuses)
    return {"rate": rate, "p99_s": statistics.quantiles(seconds, n=100)[98], "refused": refused}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve_bare(args.serve)
    ratios = []
    for pair in range(args.pairs):
        found = {name: measure(name, first=pair * 10_000, requests=args.requests) for name in ("bare", "own")}
        ratios.append(found["own"]["rate"] / found["bare"]["rate"])
        print(json.dumps(found), f"ratio {ratios[-1]:.2f}", flush=True)
    print(
        f"rate against the bare app: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
