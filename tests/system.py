"""The queue, the store and the outbox of a system under test, and the requests of its clients."""

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from msaas.errors import QueueUnavailable
from msaas.jobs import Callback, Job, JobState, JobStatus
from msaas.manifest import Manifest
from msaas.queue.protocol import QueuePolicy
from msaas.queue.redis.jobs import RedisQueue
from msaas.queue.redis.outbox import RedisOutbox
from msaas.queue.redis.song_registry import RedisSongRegistry
from msaas.songs import song_hash
from msaas.storage.directory import DirectoryStore
from msaas.storage.names import FRAGMENT_SUFFIX
from msaas.storage.song_store import SongStore
from tests.servers import RedisServer, S3Access, wait_until

T = TypeVar("T")

#: A minute, scaled down, with room for a crowded machine.
POLICY = QueuePolicy(lease_s=3.0)
STEMS = ("drums", "bass", "other", "vocals")
_ENDS = (JobState.DONE, JobState.FAILED)
_JOB_S = 240.0


def patiently(call: Callable[[], T], *, patience_s: float = 20.0) -> T:
    """Repeat a call while the queue is unavailable: the log of a busy disk delays answers."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return call()
        except QueueUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@dataclass
class System:
    """All parts but the processes. `environment` is that of a service of this system."""

    redis: RedisServer
    song_store: SongStore
    queue: RedisQueue
    registry: RedisSongRegistry
    outbox: RedisOutbox
    environment: dict[str, str]

    # Songs and jobs

    def put(self, mp3: bytes) -> str:
        """Store a song; return its id."""
        job_id = song_hash(mp3)
        self.song_store.put_song(job_id, io.BytesIO(mp3), size_bytes=len(mp3))
        return job_id

    def send(self, mp3: bytes, *, model: str | None = None, callback: Callback | None = None) -> str:
        """Store a song and enqueue its job; return its id."""
        job_id, options = self.put(mp3), {"model": model} if model else {}
        patiently(lambda: self.queue.enqueue(Job(job_id=job_id, options=options, callback=callback)))
        return job_id

    def push(self, *entries: bytes | str) -> None:
        """Push entries by hand."""
        self.redis.client().lpush("toWorkers", *entries)

    # Status

    def status(self, job_id: str) -> JobStatus:
        status = patiently(lambda: self.queue.status(job_id))
        assert status is not None, f"job {job_id} is unknown"
        return status

    def has_ended(self, job_id: str) -> bool:
        status = patiently(lambda: self.queue.status(job_id))
        return status is not None and status.state in _ENDS

    def wait_for_end(self, job_id: str, *, timeout_s: float = _JOB_S) -> JobStatus:
        [status] = self.wait_for_ends(job_id, timeout_s=timeout_s)
        return status

    def wait_for_ends(self, *job_ids: str, timeout_s: float = _JOB_S) -> list[JobStatus]:
        """Wait until all jobs are done or failed; return their status."""
        open_jobs = list(job_ids)

        def all_ended() -> bool:
            open_jobs[:] = [job_id for job_id in open_jobs if not self.has_ended(job_id)]
            return not open_jobs

        try:
            wait_until(all_ended, timeout_s=timeout_s)
        except TimeoutError:
            first = [self.queue.status(job_id) for job_id in open_jobs[:3]]
            raise TimeoutError(f"{len(open_jobs)} open, depth {self.queue.depth()}: {first}") from None
        return [self.status(job_id) for job_id in job_ids]

    def wait_for_progress(self, job_id: str, *, above: float = 0.1) -> None:
        """Wait until the job runs and is past this share, but not near its end."""
        wait_until(lambda: above < self.status(job_id).progress < 0.8, timeout_s=_JOB_S)

    def wait_until_idle(self, *, timeout_s: float = 60.0) -> None:
        def is_idle() -> bool:
            depth = patiently(self.queue.depth)
            return not (depth.waiting or depth.in_flight or depth.delayed)

        wait_until(is_idle, timeout_s=timeout_s)

    def assert_nothing_left(self) -> None:
        """Only the dead-letter list may hold an entry, and no claim is left."""
        depth = patiently(self.queue.depth)
        assert (depth.waiting, depth.in_flight, depth.delayed) == (0, 0, 0), depth
        claims = list(self.redis.client().scan_iter("toWorkers:claims:*"))
        assert claims == []

    # Results

    def manifest(self, job_id: str) -> Manifest:
        manifest = self.song_store.whole_manifest(job_id)
        assert manifest is not None, f"job {job_id} has no whole manifest"
        return manifest

    def stem(self, job_id: str, stem: str) -> bytes:
        """Return a stem as a client gets it: checked against the manifest."""
        return b"".join(self.song_store.open_stem(job_id, stem).read())

    def stems(self, job_id: str) -> dict[str, bytes]:
        return {stem: self.stem(job_id, stem) for stem in STEMS}

    def stored_fragments(self) -> list[str]:
        return [found.key for found in self.song_store.outputs() if found.key.endswith(FRAGMENT_SUFFIX)]

    def delete_results(self) -> None:
        for found in list(self.song_store.results()):
            self.song_store.store.delete(self.song_store.output_bucket, found.key)

    def use_s3(self, access: S3Access) -> None:
        """Replace the store by an S3 server, for this object and for processes that start later."""
        self.song_store = SongStore(access.store())
        self.song_store.prepare()
        self.environment |= {"STORE_DIR": "", **access.environment}


def open_system(folder: Path, redis: RedisServer, **settings: str) -> System:
    """Return a system on this server, with a store in `folder`; `settings` go into its environment."""
    song_store = open_store(folder)
    address = redis.address
    environment = {
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(redis.port),
        "STORE_DIR": str(folder / "store"),
        "LEASE_SECONDS": str(POLICY.lease_s),
        **settings,
    }
    return System(
        redis=redis,
        song_store=song_store,
        queue=RedisQueue(address, policy=POLICY),
        registry=RedisSongRegistry(address),
        outbox=RedisOutbox(address, policy=POLICY),
        environment=environment,
    )


def open_store(folder: Path) -> SongStore:
    """Return a song store in `folder` with its buckets."""
    song_store = SongStore(DirectoryStore(folder / "store"))
    song_store.prepare()
    return song_store


def redis_keys(system: System) -> set[str]:
    client: Any = system.redis.client()
    return {key.decode() for key in client.scan_iter()}
