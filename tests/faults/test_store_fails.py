"""The store goes away, fails, crawls and breaks off: jobs wait for it, nothing half stored is ever seen."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from msaas.jobs import JobState
from msaas.tracks import Tracks
from tests.faults.conftest import House
from tests.faults.songs import song
from tests.faults.workers import Crew, Worker
from tests.servers import RcloneServer, rclone_running
from tests.wire import Cut

Figure = Callable[[str], None]
#: The worker's first delays, and what a crowded machine needs.
RECOVERED_S = 60.0


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[RcloneServer]:
    with rclone_running(tmp_path / "s3") as server:
        yield server


@pytest.fixture
def far_store(s3: RcloneServer, house: House) -> Tracks:
    """The store of the house is an S3 server; the workers reach it by `s3.wire`, this test directly."""
    house.tracks = Tracks(s3.access.store())
    house.tracks.prepare()
    return house.tracks


def start(crew: Crew, s3: RcloneServer) -> Worker:
    return crew.start(STORE_DIR="", **s3.access.environment)


def no_such_object(house: House) -> bool:
    return [found.key for found in house.tracks.results()] == []


def fail(reply: bytes) -> bytes:
    return reply.replace(b"HTTP/1.1 200 OK", b"HTTP/1.1 500 Oh no")


def break_off(request: bytes) -> bytes:
    """Cut an upload in the middle of its body."""
    if request.startswith(b"PUT ") and b".mp3" in request[:300]:
        raise Cut
    return request


@pytest.mark.fault("S1")
@pytest.mark.parametrize("how", ["down", "500", "cut"])
def test_a_job_waits_for_its_store(
    house: House, crew: Crew, s3: RcloneServer, far_store: Tracks, figure: Figure, how: str
) -> None:
    job_id = house.put(song())
    worker = start(crew, s3)
    as_xml = s3.wire.replies
    if how == "down":
        s3.wire.refuse()
    elif how == "500":
        s3.wire.replies = fail
    else:
        s3.wire.requests = break_off
    house.redis.client().lpush("toWorkers", job_id)
    worker.wait_until_said("job_given_back")
    time.sleep(2)
    status = house.status(job_id)
    assert (status.state, status.attempts) in ((JobState.QUEUED, 0), (JobState.RUNNING, 1))
    s3.wire.mend()
    s3.wire.replies = as_xml
    assert house.tracks.manifest(job_id) is None
    mended_at = time.monotonic()
    [status] = house.ended(job_id, timeout_s=RECOVERED_S)
    assert (status.state, status.attempts) == (JobState.DONE, 1)
    assert set(house.stems(job_id)) == {"drums", "bass", "other", "vocals"}
    house.nothing_is_left()
    assert worker.is_alive()
    figure(f"{how}: done {time.monotonic() - mended_at:.1f} s after recovery")


@pytest.mark.fault("S1")
def test_a_slow_store_only_takes_its_time(
    house: House, crew: Crew, s3: RcloneServer, far_store: Tracks, figure: Figure
) -> None:
    start(crew, s3)
    s3.wire.delay_s = 0.3
    job_id = house.put(song())
    began = time.monotonic()
    house.redis.client().lpush("toWorkers", job_id)
    [status] = house.ended(job_id, timeout_s=RECOVERED_S)
    s3.wire.delay_s = 0.0
    assert (status.state, status.attempts) == (JobState.DONE, 1)
    assert len(house.stems(job_id)) == 4
    figure(f"slow (0.3 s a packet): done in {time.monotonic() - began:.1f} s")


@pytest.mark.fault("S2")
def test_a_song_deleted_before_its_work_fails_for_good(house: House, crew: Crew, figure: Figure) -> None:
    job_id = house.send(song())
    house.tracks.store.delete(house.tracks.input_bucket, f"{job_id}.mp3")
    crew.start()
    [status] = house.ended(job_id)
    assert status.error is not None
    assert (status.state, status.attempts, status.error.code) == (JobState.FAILED, 1, "song_missing")
    house.nothing_is_left()
    figure(f"1 attempt, {status.error.code}")
