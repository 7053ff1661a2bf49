"""The store is down, fails, is slow or cuts uploads: jobs wait, and no partial object is ever served."""

import io
import time
from collections.abc import Callable

import pytest

from msaas.jobs import JobState
from tests.faults.songs import song
from tests.servers import RcloneServer
from tests.system import STEMS, System
from tests.tcp_proxy import Cut
from tests.worker_pool import WorkerPool

Figure = Callable[[str], None]
#: The first delays of a worker, and the time a crowded machine needs.
RECOVERED_S = 60.0


def fail(reply: bytes) -> bytes:
    return reply.replace(b"HTTP/1.1 200 OK", b"HTTP/1.1 500 Oh no")


def cut_uploads(request: bytes) -> bytes:
    """Cut an upload within its body."""
    if request.startswith(b"PUT ") and b".mp3" in request[:300]:
        raise Cut
    return request


def break_store(s3: RcloneServer, how: str) -> None:
    match how:
        case "down":
            s3.proxy.refuse()
        case "500":
            s3.proxy.replies = fail
        case "cut":
            s3.proxy.requests = cut_uploads


@pytest.mark.fault("S1")
@pytest.mark.parametrize("how", ["down", "500", "cut"])
def test_job_waits_for_its_store(
    system: System, pool: WorkerPool, s3: RcloneServer, figure: Figure, how: str
) -> None:
    job_id = system.put(song())
    pool.start_keeper(ready=False)
    worker = pool.start()
    break_store(s3, how)
    system.push(job_id)
    worker.wait_for_event("job_released", level="warning", job_id=job_id)
    status = system.status(job_id)
    assert (status.state, status.attempts) in ((JobState.QUEUED, 0), (JobState.RUNNING, 1))
    s3.proxy.mend()
    mended_at = time.monotonic()
    status = system.wait_for_end(job_id, timeout_s=RECOVERED_S)
    assert (status.state, status.attempts, status.error) == (JobState.DONE, 1, None)
    assert set(system.stems(job_id)) == set(STEMS)
    system.assert_nothing_left()
    assert worker.is_alive()
    figure(f"{how}: done {time.monotonic() - mended_at:.1f} s after recovery")


@pytest.mark.fault("S1")
def test_slow_store_costs_time_only(
    system: System, pool: WorkerPool, s3: RcloneServer, figure: Figure
) -> None:
    pool.start()
    job_id = system.put(song())
    s3.proxy.delay_s = 0.2
    began = time.monotonic()
    system.push(job_id)
    status = system.wait_for_end(job_id, timeout_s=RECOVERED_S)
    s3.proxy.mend()
    assert (status.state, status.attempts) == (JobState.DONE, 1)
    assert len(system.stems(job_id)) == 4
    figure(f"slow (0.2 s a packet): done in {time.monotonic() - began:.1f} s")


@pytest.mark.fault("S2")
def test_song_deleted_before_its_work_fails_at_the_first_attempt(
    system: System, pool: WorkerPool, figure: Figure
) -> None:
    job_id = system.send(song())
    system.song_store.store.delete(system.song_store.input_bucket, f"{job_id}.mp3")
    pool.start()
    status = system.wait_for_end(job_id)
    assert status.error is not None
    assert (status.state, status.attempts, status.error.code) == (JobState.FAILED, 1, "song_missing")
    system.assert_nothing_left()
    figure(f"1 attempt, {status.error.code}")


@pytest.mark.fault("T11")
@pytest.mark.parametrize("how", ["another song", "cut", "empty"])
def test_song_altered_in_the_store_is_not_separated_and_can_be_sent_again(
    system: System, pool: WorkerPool, figure: Figure, how: str
) -> None:
    worker, whole = pool.start(), song()
    altered = {"another song": song(1), "cut": whole[:-100], "empty": b""}[how]
    job_id = system.put(whole)
    bucket = system.song_store.input_bucket
    system.song_store.store.put(bucket, f"{job_id}.mp3", io.BytesIO(altered), size_bytes=len(altered))
    system.push(job_id)
    worker.wait_for_event("job_failed", level="warning", job_id=job_id)
    status = system.wait_for_end(job_id)
    assert status.error is not None
    assert (status.state, status.attempts, status.error.code) == (JobState.FAILED, 1, "song_damaged")
    assert list(system.song_store.outputs()) == []
    assert [line["event"] for line in worker.events(level="error")] == ["song_damaged"]
    system.send(whole)
    assert system.wait_for_end(job_id).state is JobState.DONE
    assert set(system.stems(job_id)) == set(STEMS)
    system.assert_nothing_left()
    figure(f"{how}: 1 attempt, {status.error.code}, 1 error line, done after the next POST")
