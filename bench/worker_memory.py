"""The memory, disk and processor time of a worker for songs of so many minutes: what its pod is sized by.

    python -m bench.worker_memory --minutes 1 4 10           # random weights, the size of htdemucs
    python -m bench.worker_memory --minutes 30 60 --small    # the same network, small: what grows

Memory is the highest sum of the resident sets of the worker and its children, looked at ten times a second.
"""

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from bench.random_htdemucs import PUBLISHED, SMALL, write_repository

from msaas.directory_store import DirectoryStore
from msaas.errors import QueueUnavailable
from msaas.jobs import Job, JobState
from msaas.redis_queue import RedisQueue
from msaas.songs import song_hash
from msaas.tracks import Tracks
from tests.servers import RedisServer, redis_running

_SONG = Path(__file__).parents[1] / "data" / "engine-room.mp3"
_SONG_S = 18.05
_LOOK_EVERY_S = 0.1
_MIB = 1024 * 1024


@dataclass
class Use:
    memory_bytes: int = 0
    disk_bytes: int = 0
    cpu_s: float = 0.0

    def look(self, worker: psutil.Process, scratch: Path) -> None:
        self.memory_bytes = max(self.memory_bytes, sum(map(_resident, [worker, *_children(worker)])))
        self.disk_bytes = max(self.disk_bytes, sum(map(_size, scratch.rglob("*"))))
        times = worker.cpu_times()
        self.cpu_s = times.user + times.system + times.children_user + times.children_system


def _children(process: psutil.Process) -> list[psutil.Process]:
    found: list[psutil.Process] = process.children(recursive=True)
    return found


def _resident(process: psutil.Process) -> int:
    try:
        resident: int = process.memory_info().rss
    except psutil.Error:
        return 0
    return resident


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def measure(minutes: float, *, redis: RedisServer, models: Path, folder: Path) -> tuple[Use, float]:
    """Return what one song of so many minutes takes from the start of the process, and how many seconds."""
    tracks, queue = Tracks(DirectoryStore(folder / "store")), RedisQueue(redis.address)
    tracks.prepare()
    mp3 = _SONG.read_bytes() * round(minutes * 60 / _SONG_S)
    job_id = song_hash(mp3)
    tracks.put_song(job_id, io.BytesIO(mp3), size_bytes=len(mp3))
    scratch = folder / "tmp"
    scratch.mkdir()
    environment = {
        **os.environ,
        "REDIS_PORT": str(redis.port),
        "STORE_DIR": str(folder / "store"),
        "MODEL_REPO": str(models),
        "TMPDIR": str(scratch),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "msaas_worker"], env=environment, stdout=subprocess.DEVNULL
    )
    started, use, worker = time.monotonic(), Use(), psutil.Process(process.pid)
    queue.enqueue(Job(job_id))
    try:
        while not _ended(queue, job_id):
            use.look(worker, scratch)
            time.sleep(_LOOK_EVERY_S)
    finally:
        process.kill()
        process.wait()
    return use, time.monotonic() - started


def _ended(queue: RedisQueue, job_id: str) -> bool:
    try:
        status = queue.status(job_id)
    except QueueUnavailable:  # A busy machine.
        return False
    if status and status.state is JobState.FAILED:
        raise RuntimeError(status.error)
    return status is not None and status.state is JobState.DONE


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, nargs="+", required=True)
    parser.add_argument("--small", action="store_true", help="the same network at a size for tests")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = write_repository(
            folder / "models", name="htdemucs", configuration=SMALL if options.small else PUBLISHED
        )
        sys.stdout.write(
            "| song, minutes | memory, GiB | scratch, GiB | processor, s | seconds |\n|---|---|---|---|---|\n"
        )
        for minutes in options.minutes:
            with redis_running(folder / f"redis-{minutes}") as redis:
                use, seconds = measure(minutes, redis=redis, models=models, folder=folder / str(minutes))
            gib = [f"{size / _MIB / 1024:.2f}" for size in (use.memory_bytes, use.disk_bytes)]
            sys.stdout.write(f"| {minutes:g} | {gib[0]} | {gib[1]} | {use.cpu_s:.0f} | {seconds:.0f} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
