"""A queue on disk, a store, and workers that may die."""

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from msaas.directory_store import DirectoryStore
from msaas.errors import QueueUnavailable
from msaas.jobs import Callback, Job, JobState, JobStatus
from msaas.manifest import Manifest
from msaas.queue import QueuePolicy
from msaas.redis_outbox import RedisOutbox
from msaas.redis_queue import RedisQueue
from msaas.songs import song_hash
from msaas.tracks import Tracks
from tests.faults.receiver import Receiver
from tests.faults.songs import TUNES, song
from tests.faults.workers import Crew
from tests.servers import RedisServer, redis_running, wait_until

T = TypeVar("T")

#: A minute, scaled down, with room for a crowded machine.
POLICY = QueuePolicy(lease_s=3.0)
STEMS = ("drums", "bass", "other", "vocals")
ENDS = (JobState.DONE, JobState.FAILED)


def patiently(call: Callable[[], T], *, patience_s: float = 20.0) -> T:
    """Ask again while the queue is away: on a crowded disk its log takes longer than an answer may."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return call()
        except QueueUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@dataclass
class House:
    """Everything but the workers, and what a client would ask of it."""

    redis: RedisServer
    tracks: Tracks
    queue: RedisQueue
    outbox: RedisOutbox

    def put(self, mp3: bytes) -> str:
        job_id = song_hash(mp3)
        self.tracks.put_song(job_id, io.BytesIO(mp3), size_bytes=len(mp3))
        return job_id

    def send(self, mp3: bytes, *, callback: Callback | None = None) -> str:
        job_id = self.put(mp3)
        patiently(lambda: self.queue.enqueue(Job(job_id, callback=callback)))
        return job_id

    def status(self, job_id: str) -> JobStatus:
        status = patiently(lambda: self.queue.status(job_id))
        assert status is not None, f"nobody knows of {job_id}"
        return status

    def has_ended(self, job_id: str) -> bool:
        status = patiently(lambda: self.queue.status(job_id))
        return status is not None and status.state in ENDS

    def ended(self, *job_ids: str, timeout_s: float = 90.0) -> list[JobStatus]:
        """Wait until all have ended, for better or worse."""

        def all_ended() -> bool:
            return all(self.has_ended(job_id) for job_id in job_ids)

        try:
            wait_until(all_ended, timeout_s=timeout_s, every_s=0.1)
        except TimeoutError:
            open_jobs = [self.status(job_id) for job_id in job_ids if not self.has_ended(job_id)]
            raise TimeoutError(
                f"{len(open_jobs)} are open, depth {self.queue.depth()}: {open_jobs[:3]}"
            ) from None
        return [self.status(job_id) for job_id in job_ids]

    def stems(self, job_id: str) -> dict[str, bytes]:
        """The stems as a client gets them: checked against the manifest."""
        found = {}
        for stem in STEMS:
            with self.tracks.open_stem(job_id, stem) as file:
                found[stem] = file.read()
        return found

    def manifest(self, job_id: str) -> Manifest:
        manifest = self.tracks.whole_manifest(job_id)
        assert manifest is not None, f"no whole manifest of {job_id}"
        return manifest

    def nothing_is_left(self) -> None:
        """No entry in any list but the dead, no lease."""
        depth = self.queue.depth()
        assert (depth.waiting, depth.in_flight, depth.delayed) == (0, 0, 0), depth
        for key in self.redis.client().scan_iter("toWorkers:claims:*"):
            raise AssertionError(f"a lease is left: {key!r}")


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of this test's own, with what the promise stands on: AOF `always`."""
    with redis_running(tmp_path / "redis", aof=True) as server:
        yield server


def house_in(folder: Path, redis: RedisServer) -> House:
    tracks = Tracks(DirectoryStore(folder / "store"))
    tracks.prepare()
    address = redis.address
    return House(redis, tracks, RedisQueue(address, policy=POLICY), RedisOutbox(address, policy=POLICY))


def crew_in(folder: Path, redis: RedisServer) -> Crew:
    (folder / "crew").mkdir()
    return Crew(
        folder / "crew",
        {
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(redis.port),
            "STORE_DIR": str(folder / "store"),
            "LEASE_SECONDS": str(POLICY.lease_s),
            "CALLBACK_ALLOW_PRIVATE": "1",
        },
    )


@pytest.fixture
def house(own_redis: RedisServer, tmp_path: Path) -> House:
    return house_in(tmp_path, own_redis)


@pytest.fixture
def crew(house: House, tmp_path: Path) -> Iterator[Crew]:
    crew = crew_in(tmp_path, house.redis)
    yield crew
    crew.kill_all()


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, bytes]]:
    """The stems of every tune, made by a worker that nobody disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with redis_running(folder / "redis") as redis:
        house, crew = house_in(folder, redis), crew_in(folder, redis)
        try:
            crew.start()
            ids = [house.send(song(number)) for number in range(TUNES)]
            assert {status.state for status in house.ended(*ids)} == {JobState.DONE}
            return {number: house.stems(job_id) for number, job_id in enumerate(ids)}
        finally:
            crew.kill_all()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver
