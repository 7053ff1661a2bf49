"""A worker process, as it runs in a pod: on a real queue, with real MP3s, ended by real signals."""

import io

from worker.tests.songs import song_mp3
from worker.tests.workers import Workers

from msaas.jobs import Job, JobState
from msaas.redis_queue import RedisQueue
from msaas.songs import song_hash
from msaas.tracks import Tracks
from tests.servers import wait_until


def enqueue(tracks: Tracks, queue: RedisQueue, mp3: bytes) -> str:
    job_id = song_hash(mp3)
    tracks.put_song(job_id, io.BytesIO(mp3), size_bytes=len(mp3))
    queue.enqueue(Job(job_id))
    return job_id


def wait_for_end(queue: RedisQueue, job_id: str, *, timeout_s: float = 60.0) -> JobState:
    def ended() -> bool:
        status = queue.status(job_id)
        return status is not None and status.state in (JobState.DONE, JobState.FAILED)

    wait_until(ended, timeout_s=timeout_s)
    status = queue.status(job_id)
    assert status
    return status.state


def test_a_song_becomes_four_stems(tracks: Tracks, queue: RedisQueue, workers: Workers) -> None:
    worker = workers.start()
    job_id = enqueue(tracks, queue, song_mp3(2))
    assert wait_for_end(queue, job_id) is JobState.DONE
    manifest = tracks.whole_manifest(job_id)
    assert manifest
    assert sorted(manifest.stems) == ["bass", "drums", "other", "vocals"]
    assert len({file.sha256 for file in manifest.stems.values()}) == 4
    assert worker.terminate(timeout_s=5) == 0
