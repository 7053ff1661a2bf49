"""The list of the latest jobs, and the songs that an owner knows, on each queue."""

from common.tests.backends import QueueBench
from common.tests.steps import OTHER, SONG, THIRD, claim_next
from msaas.jobs import Job
from msaas.queue.protocol import JobQueue
from msaas.queue.song_registry import SongRegistry


def test_jobs_are_listed_newest_first_page_by_page(queue: JobQueue) -> None:
    for song in (SONG, OTHER, THIRD):
        queue.enqueue(Job(job_id=song))
    first = queue.list_jobs(limit=2)
    assert [each.job_id for each in first] == [THIRD, OTHER]
    assert [each.job_id for each in queue.list_jobs(before=first[-1], limit=2)] == [SONG]


def test_job_is_listed_once_by_its_latest_request(queue: JobQueue) -> None:
    for song in (SONG, OTHER, SONG):
        queue.enqueue(Job(job_id=song))
    queue.note_request(OTHER)
    assert [each.job_id for each in queue.list_jobs(limit=10)] == [OTHER, SONG]


def test_job_pushed_by_hand_is_listed_once_a_worker_has_it(queue: JobQueue, bench: QueueBench) -> None:
    bench.push(SONG.encode())
    assert queue.list_jobs(limit=10) == []
    claim_next(queue.consumer("w1"))
    assert [each.job_id for each in queue.list_jobs(limit=10)] == [SONG]


def test_owner_knows_the_songs_that_it_asked_for(registry: SongRegistry) -> None:
    registry.request_song(SONG, owner="ann")
    registry.request_song(OTHER)
    assert registry.known_songs("ann", [SONG, OTHER]) == {SONG}
    assert registry.known_songs("bob", [SONG, OTHER]) == set()
    assert registry.known_songs("ann", []) == set()


def test_duration_stands_in_the_status(queue: JobQueue) -> None:
    queue.enqueue(Job(job_id=SONG), duration_s=12.3456)
    status = queue.status(SONG)
    assert status
    assert status.duration_s == 12.346
    worker = queue.consumer("w1")
    worker.renew(claim_next(worker), progress=0.1, duration_s=12.5)
    status = queue.status(SONG)
    assert status
    assert status.duration_s == 12.5
