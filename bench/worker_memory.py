"""Memory, disk and CPU time of a worker by the length of the song, for the sizing of its pod.

    python -m bench.worker_memory --minutes 1 4 10           # random weights in the size of htdemucs
    python -m bench.worker_memory --minutes 30 60 --small    # a small network: shows the growth

Memory is the highest sum of the resident sets of the worker and its children, sampled ten times a second, and
at least the high-water mark that the kernel keeps of the worker. Shared pages count for each process.
"""

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from bench.random_htdemucs import PUBLISHED, SMALL, write_repository
from bench.report import Findings, Goal

from msaas.errors import QueueUnavailable
from msaas.jobs import Job, JobState
from msaas.queue.redis.jobs import RedisQueue
from msaas.songs import song_hash
from msaas.storage.directory import DirectoryStore
from msaas.storage.song_store import SongStore
from tests.servers import RedisServer, redis_running

_SONG = Path(__file__).parents[1] / "data" / "engine-room.mp3"
_SONG_S = 18.05
_SAMPLE_EVERY_S = 0.1
_GIB = 1024**3
_MOST_GB = 2.0
_GROWTH = 1.1


@dataclass
class Use:
    memory_bytes: int = 0
    disk_bytes: int = 0
    cpu_s: float = 0.0

    def sample(self, worker: psutil.Process, scratch: Path) -> None:
        resident = sum(map(_resident, [worker, *_children(worker)]))
        self.memory_bytes = max(self.memory_bytes, resident, _high_water(worker))
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


def _high_water(process: psutil.Process) -> int:
    """Return `VmHWM` of proc(5), which includes peaks between two samples."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def measure(minutes: float, *, redis: RedisServer, models: Path, folder: Path) -> tuple[Use, float]:
    """Return the use of one song, from the start of the process, and its wall-clock time in seconds."""
    song_store, queue = SongStore(DirectoryStore(folder / "store")), RedisQueue(redis.address)
    song_store.prepare()
    mp3 = _SONG.read_bytes() * round(minutes * 60 / _SONG_S)
    job_id = song_hash(mp3)
    song_store.put_song(job_id, io.BytesIO(mp3), size_bytes=len(mp3))
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
    queue.enqueue(Job(job_id=job_id))
    try:
        while not _ended(queue, job_id):
            use.sample(worker, scratch)
            time.sleep(_SAMPLE_EVERY_S)
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


def memory(minutes: Sequence[float], *, models: Path, folder: Path) -> Findings:
    """Measure songs by length. The first one is the reference."""
    rows = {f"{each:g} min": _row(each, models=models, folder=folder) for each in minutes}
    first, last = next(iter(rows.values())), list(rows.values())[-1]
    last["growth"] = last["memory_bytes"] / first["memory_bytes"]
    return Findings(
        "A worker's memory, by the length of the song",
        rows,
        {
            "memory, GB": "{memory_gb:.2f}",
            "of the first": "{growth:.2f}",
            "memory, GiB": "{memory_gib:.2f}",
            "scratch, GiB": "{scratch_gib:.2f}",
            "processor, s": "{cpu_s:.0f}",
            "seconds": "{seconds:.0f}",
        },
        (
            Goal(f"memory of a worker, {minutes[-1]:g} min, GB", last["memory_gb"], at_most=_MOST_GB),
            Goal(f"{minutes[-1]:g} min against {minutes[0]:g}, memory ×", last["growth"], at_most=_GROWTH),
        ),
    )


def _row(minutes: float, *, models: Path, folder: Path) -> dict[str, Any]:
    with redis_running(folder / f"redis-{minutes}") as redis:
        use, seconds = measure(minutes, redis=redis, models=models, folder=folder / str(minutes))
    return {
        "memory_bytes": use.memory_bytes,
        "memory_gb": use.memory_bytes / 1e9,
        "memory_gib": use.memory_bytes / _GIB,
        "scratch_gib": use.disk_bytes / _GIB,
        "cpu_s": use.cpu_s,
        "seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, nargs="+", required=True)
    parser.add_argument("--small", action="store_true", help="use a small network")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = write_repository(
            folder / "models", name="htdemucs", configuration=SMALL if options.small else PUBLISHED
        )
        sys.stdout.write(memory(options.minutes, models=models, folder=folder).text() + "\n")


if __name__ == "__main__":
    main()
