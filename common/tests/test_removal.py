"""Removal of private songs without references."""

import io
from collections.abc import Callable
from typing import Any

import pytest

from common.tests.backends import QueueBench
from common.tests.steps import claim_next
from msaas.errors import DatabaseUnavailable, LeaseLost
from msaas.jobs import Job, JobState
from msaas.manifest import Manifest
from msaas.queue.protocol import Request
from msaas.queue.song_registry import Visibility
from msaas.recipe import Recipe
from msaas.removal import Removal
from msaas.songs import song_hash
from msaas.storage.song_store import SongStore

MP3 = b"a private song"
HASH = song_hash(MP3)
JOBS = [HASH, Recipe(model="mdx").job_id(HASH)]
OTHER = "b" * 64


def no_reference(_: str) -> bool:
    return False


@pytest.fixture
def make(bench: QueueBench, song_store: SongStore) -> Callable[..., Removal]:
    """Return a function that makes a removal of the private song, which is stored with two results."""

    def make_one(*, is_referenced: Callable[[str], bool] = no_reference, wait_s: float = 0.2) -> Removal:
        return Removal(
            queue=bench.queue,
            registry=bench.registry,
            song_store=song_store,
            is_referenced=is_referenced,
            wait_s=wait_s,
        )

    bench.registry.request_song(HASH, visibility=Visibility.PRIVATE)
    store_everything(song_store)
    return make_one


def store_everything(song_store: SongStore, song: str = HASH) -> None:
    song_store.put_song(song, io.BytesIO(MP3), size_bytes=len(MP3))
    for job_id in [song, *JOBS[1:]] if song == HASH else [song]:
        stems = {
            stem: song_store.put_stem(job_id, stem, io.BytesIO(stem.encode())) for stem in ("bass", "drums")
        }
        song_store.put_peaks(job_id, "bass", stems["bass"], b"peaks")
        facts: dict[str, Any] = {"weights_sha256": "0" * 64, "engine": "test", "samples": 1, "samplerate": 1}
        song_store.put_analysis(job_id, b"{}")
        song_store.put_manifest(Manifest(job_id=job_id, model="mdx", stems=stems, options={}, **facts))


def keys(song_store: SongStore) -> set[str]:
    return {each.key for each in (*song_store.songs(), *song_store.outputs())}


def test_song_and_all_results_are_removed(make: Callable[..., Removal], song_store: SongStore) -> None:
    store_everything(song_store, OTHER)
    others = {key for key in keys(song_store) if key.startswith(OTHER)}
    assert len(keys(song_store)) == 1 + 2 * 5 + len(others)
    assert make().remove(HASH)
    assert keys(song_store) == others
    assert not song_store.knows(HASH)
    assert song_store.knows(OTHER)


def test_removed_song_stays_private_and_can_be_sent_again(
    make: Callable[..., Removal], bench: QueueBench
) -> None:
    make().remove(HASH)
    assert bench.registry.private_songs([HASH]) == {HASH}
    assert bench.registry.request_song(HASH, visibility=Visibility.PRIVATE)


def test_song_with_a_reference_stays(
    make: Callable[..., Removal], song_store: SongStore, bench: QueueBench
) -> None:
    before = keys(song_store)
    assert not make(is_referenced=lambda song: song == HASH).remove(HASH)
    assert keys(song_store) == before
    assert bench.registry.removals() == []
    assert bench.registry.request_song(HASH)


def test_song_of_the_machine_api_stays(
    make: Callable[..., Removal], song_store: SongStore, bench: QueueBench
) -> None:
    bench.registry.request_song(HASH, visibility=Visibility.PUBLIC)
    before = keys(song_store)
    assert not make().remove(HASH)
    assert keys(song_store) == before


def test_references_are_counted_while_requests_wait(make: Callable[..., Removal], bench: QueueBench) -> None:
    """An upload adds its reference before it requests the song: the count sees it, or its request waits."""
    requests = []

    def count(song: str) -> bool:
        requests.append(bench.registry.request_song(song, visibility=Visibility.PRIVATE))
        return True

    assert not make(is_referenced=count).remove(HASH)
    assert requests == [False]


def test_jobs_of_a_removed_song_are_cancelled(make: Callable[..., Removal], bench: QueueBench) -> None:
    queue, worker = bench.queue, bench.queue.consumer("w1")
    for job_id in JOBS:
        queue.enqueue(Job(job_id=job_id), request=Request(id="song-1", owner="user:1"))
    claim = claim_next(worker)
    make().remove(HASH, job_ids=JOBS)
    states = [status.state for status in queue.statuses(JOBS) if status]
    assert states == [JobState.CANCELLED] * 2
    with pytest.raises(LeaseLost):
        worker.renew(claim, progress=0.5)
    # The worker may delete what it has stored meanwhile.
    assert worker.begin_cleanup(claim.job.job_id)


def test_records_of_finished_jobs_are_forgotten(make: Callable[..., Removal], bench: QueueBench) -> None:
    from common.tests.steps import RESULT

    bench.queue.enqueue(Job(job_id=HASH))
    worker = bench.queue.consumer("w1")
    worker.finish(claim_next(worker), RESULT)
    make().remove(HASH)
    assert bench.queue.status(HASH) is None


def test_removal_waits_for_the_cleanup_of_a_worker(make: Callable[..., Removal], bench: QueueBench) -> None:
    bench.registry.begin_removal(HASH)
    assert not make(wait_s=0.1).remove(HASH)
    bench.registry.end_deletion(HASH)
    assert make(wait_s=0.1).remove(HASH)


def test_outage_leaves_the_removal_to_the_keeper(
    make: Callable[..., Removal], bench: QueueBench, song_store: SongStore
) -> None:
    def fail(_: str) -> bool:
        raise DatabaseUnavailable

    with pytest.raises(DatabaseUnavailable):
        make(is_referenced=fail).remove(HASH)
    assert bench.registry.removals() == [HASH]
    make().repeat()
    assert song_store.knows(HASH)
    bench.pass_time(61)
    make().repeat()
    assert not song_store.knows(HASH)
    assert bench.registry.removals() == []


def test_object_that_a_worker_stored_late_is_removed(
    make: Callable[..., Removal], bench: QueueBench, song_store: SongStore
) -> None:
    make().remove(HASH)
    song_store.put_stem(HASH, "vocals", io.BytesIO(b"late"))
    bench.pass_time(61)
    make().repeat()
    assert keys(song_store) == set()


def test_song_that_was_sent_again_is_not_removed_later(
    make: Callable[..., Removal], bench: QueueBench, song_store: SongStore
) -> None:
    make().remove(HASH)
    store_everything(song_store)
    bench.pass_time(61)
    make(is_referenced=lambda song: song == HASH).repeat()
    assert song_store.knows(HASH)
    assert bench.registry.removals() == []
