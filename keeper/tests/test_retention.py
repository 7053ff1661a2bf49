"""With RETENTION_HOURS what is old goes, a manifest before its stems, and what somebody waits for stays."""

import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
from worker.tests.service import Service
from worker.tests.songs import song_mp3

from msaas.errors import StoreUnavailable
from msaas.jobs import Job, JobState
from msaas.manifest import Manifest
from msaas.models import FOUR_STEMS
from msaas.queue.memory import InMemoryQueue
from msaas.storage.directory import DirectoryStore
from msaas.storage.song_store import SongStore, job_of
from msaas_keeper.retention import Retention
from tests.servers import wait_until

SONG, OTHER = "a" * 64, "b" * 64
HOUR_S = 3600.0


class RecordingStore(DirectoryStore):
    """Notes what is deleted; `before_delete` is what happens just before."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.deleted: list[str] = []
        self.before_delete: Callable[[str], None] = lambda _: None

    def delete(self, bucket: str, key: str) -> None:
        self.before_delete(key)
        self.deleted.append(key)
        super().delete(bucket, key)


class Shelf:
    """A store whose files have an age."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = RecordingStore(folder)
        self.song_store = SongStore(self.store)
        self.song_store.prepare()
        self.queue = InMemoryQueue()
        self.retention = Retention(self.song_store, 24 * HOUR_S, spared=[self.queue.referenced_songs])

    def song(self, song_hash: str, *, hours: float) -> None:
        self.song_store.put_song(song_hash, io.BytesIO(b"mp3"), size_bytes=3)
        self.age(self.song_store.input_bucket, f"{song_hash}.mp3", hours=hours)

    def result(self, job_id: str, *, hours: float, manifest_hours: float | None = None) -> None:
        files = {
            stem: self.song_store.put_stem(job_id, stem, io.BytesIO(stem.encode())) for stem in FOUR_STEMS
        }
        self.song_store.put_manifest(
            Manifest(
                job_id=job_id,
                model="htdemucs",
                weights_sha256="0" * 64,
                engine="test",
                samples=1,
                samplerate=44100,
                stems=files,
            )
        )
        bucket = self.song_store.output_bucket
        for file in files.values():
            self.age(bucket, file.file, hours=hours)
        self.age(bucket, f"{job_id}.json", hours=hours if manifest_hours is None else manifest_hours)

    def age(self, bucket: str, key: str, *, hours: float) -> None:
        then = time.time() - hours * HOUR_S
        os.utime(self.folder / bucket / key, (then, then))

    def songs(self) -> set[str]:
        return {song.key.removesuffix(".mp3") for song in self.song_store.songs()}

    def jobs(self) -> set[str]:
        return {job_of(result.key) for result in self.song_store.results()}


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_what_is_old_goes_and_what_is_young_stays(shelf: Shelf) -> None:
    for job_id, hours in ((SONG, 25.0), (f"{SONG}.0123456789ab", 25.0), (OTHER, 23.0)):
        shelf.result(job_id, hours=hours)
    shelf.song(SONG, hours=25)
    shelf.song(OTHER, hours=23)
    assert shelf.retention.sweep() == 2 * 5 + 1
    assert (shelf.songs(), shelf.jobs()) == ({OTHER}, {OTHER})


def test_a_manifest_goes_before_its_stems(shelf: Shelf) -> None:
    shelf.result(SONG, hours=25)
    standing: list[bool] = []
    shelf.store.before_delete = lambda key: standing.append(shelf.song_store.manifest(SONG) is not None)
    shelf.retention.sweep()
    assert shelf.store.deleted[0] == f"{SONG}.json"
    assert not any(standing[1:])
    assert shelf.jobs() == set()


@pytest.mark.parametrize("state", ["waiting", "delayed", "running"])
@pytest.mark.parametrize("job_id", [SONG, f"{SONG}.0123456789ab"])
def test_a_song_that_somebody_waits_for_stays_and_its_results_too(
    shelf: Shelf, state: str, job_id: str
) -> None:
    shelf.song(SONG, hours=25)
    shelf.result(SONG, hours=25)
    shelf.queue.enqueue(Job(job_id=job_id))
    if state != "waiting":
        worker = shelf.queue.consumer("w1")
        payload = worker.take(timeout_s=1)
        assert payload is not None
        claim = worker.claim(Job.decode(payload), payload=payload)
        if state == "delayed":
            worker.release(claim, delay_s=60)
    assert shelf.retention.sweep() == 0
    assert (shelf.songs(), shelf.jobs()) == ({SONG}, {SONG})


def test_the_songs_of_a_catalogue_stay(shelf: Shelf) -> None:
    for song in (SONG, OTHER):
        shelf.song(song, hours=1000)
        shelf.result(song, hours=1000)
    Retention(shelf.song_store, 24 * HOUR_S, spared=[shelf.queue.referenced_songs, lambda: {SONG}]).sweep()
    assert (shelf.songs(), shelf.jobs()) == ({SONG}, {SONG})


def test_old_stems_of_a_young_manifest_stay(shelf: Shelf) -> None:
    """A stem was removed from it, say."""
    shelf.result(SONG, hours=25, manifest_hours=1)
    assert shelf.retention.sweep() == 0
    assert shelf.song_store.whole_manifest(SONG)


def test_stems_that_never_had_a_manifest_go(shelf: Shelf) -> None:
    shelf.result(SONG, hours=25)
    shelf.store.delete(shelf.song_store.output_bucket, f"{SONG}.json")
    assert shelf.retention.sweep() == 4


def test_what_was_made_anew_since_the_listing_stays(shelf: Shelf) -> None:
    for song in (SONG, OTHER):
        shelf.result(song, hours=25)
        shelf.song(song, hours=25)

    def retry_later() -> set[str]:
        for song in (SONG, OTHER):
            shelf.result(song, hours=0)
            shelf.song(song, hours=0)
        return set()

    assert Retention(shelf.song_store, 24 * HOUR_S, spared=[retry_later]).sweep() == 0
    assert (shelf.songs(), shelf.jobs()) == ({SONG, OTHER}, {SONG, OTHER})


def test_a_stem_that_was_stored_a_moment_ago_stays(shelf: Shelf) -> None:
    """Its manifest follows."""
    shelf.result(SONG, hours=25)

    def stored_anew(key: str) -> None:
        if key.endswith(".json"):
            shelf.age(shelf.song_store.output_bucket, f"{SONG}-vocals.mp3", hours=0)

    shelf.store.before_delete = stored_anew
    assert shelf.retention.sweep() == 1 + 3
    assert [result.key for result in shelf.song_store.results()] == [f"{SONG}-vocals.mp3"]


def test_a_song_that_is_posted_during_the_sweep_stays_and_its_results_too(shelf: Shelf) -> None:
    for song in (SONG, OTHER):
        shelf.song(song, hours=25)
        shelf.result(song, hours=25)

    def posted(key: str) -> None:
        shelf.queue.enqueue(Job(job_id=OTHER))

    shelf.store.before_delete = posted
    shelf.retention.sweep()
    assert (shelf.songs(), shelf.jobs()) == ({OTHER}, {OTHER})


def test_files_that_are_not_ours_stay(shelf: Shelf) -> None:
    file: BinaryIO = io.BytesIO(b"notes")
    shelf.store.put(shelf.song_store.output_bucket, "notes.txt", file, size_bytes=5)
    shelf.age(shelf.song_store.output_bucket, "notes.txt", hours=1000)
    assert shelf.retention.sweep() == 0


def test_a_song_that_comes_again_is_young_again(shelf: Shelf) -> None:
    shelf.song(SONG, hours=23.9)
    shelf.song_store.put_song(SONG, io.BytesIO(b"mp3"), size_bytes=3)
    (found,) = shelf.song_store.songs()
    assert time.time() - found.modified_at < 60


def test_without_an_answer_of_queue_or_store_nothing_is_deleted(shelf: Shelf) -> None:
    shelf.song(SONG, hours=25)

    def away() -> set[str]:
        raise StoreUnavailable

    with pytest.raises(StoreUnavailable):
        Retention(shelf.song_store, 24 * HOUR_S, spared=[away]).sweep()
    assert shelf.songs() == {SONG}


def test_a_running_worker_forgets_in_time_and_keeps_what_waits(service: Service) -> None:
    """11 s in place of days."""
    waits = service.put(song_mp3(2))
    service.redis.zadd("toWorkers:delayed", {waits: time.time() + 3600})
    service.start_worker(RETENTION_HOURS="0.003").wait_until_said("worker_started")
    done = service.enqueue(song_mp3(1))
    assert service.wait_for_end(done).state is JobState.DONE
    wait_until(lambda: list(service.song_store.results()) == [], timeout_s=60)
    wait_until(lambda: len(list(service.song_store.songs())) == 1, timeout_s=60)
    assert [song.key for song in service.song_store.songs()] == [f"{waits}.mp3"]


def test_without_the_setting_nothing_is_forgotten(service: Service) -> None:
    worker = service.start_worker()
    done = service.enqueue(song_mp3(1))
    service.wait_for_end(done)
    assert service.song_store.whole_manifest(done)
    assert not worker.has_said("old_files_deleted")
