"""Retention deletes old songs and results, manifests first, and spares those of open jobs."""

import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

import pytest

from common.tests.backends import Clock
from msaas.errors import StoreUnavailable
from msaas.jobs import Job
from msaas.manifest import Manifest
from msaas.models import FOUR_STEMS
from msaas.queue.consumer import Result
from msaas.queue.memory import InMemoryQueue
from msaas.queue.song_registry import DELETION_S, REQUESTED_S
from msaas.recipe import Recipe
from msaas.storage.directory import DirectoryStore
from msaas.storage.memory import InMemoryStore
from msaas.storage.names import analysis_file, job_of
from msaas.storage.song_store import SongStore
from msaas_keeper.retention import Retention, sweep_if_due

SONG, OTHER = "a" * 64, "b" * 64
VARIANT = f"{SONG}.0123456789ab"
HOUR_S = 3600.0
AGE_S = 24 * HOUR_S


class RecordingStore(DirectoryStore):
    """Notes the deleted objects; `before_delete` is called before each."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.deleted: list[str] = []
        self.before_delete: Callable[[str], None] = lambda _: None

    def delete(self, bucket: str, key: str) -> None:
        self.before_delete(key)
        self.deleted.append(key)
        super().delete(bucket, key)


class Archive:
    """A store whose objects have an age, and its retention."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = RecordingStore(folder)
        self.song_store = SongStore(self.store)
        self.song_store.prepare()
        self.clock = Clock()
        self.queue = InMemoryQueue(clock=self.clock)
        self.dumps = 0
        self.retention = self.sparing(self.queue.referenced_songs)

    def sparing(self, *spared: Callable[[], set[str]], batch: int = 100) -> Retention:
        return Retention(
            queue=self.queue,
            registry=self.queue.registry,
            song_store=self.song_store,
            age_s=AGE_S,
            spared=spared,
            batch=batch,
        )

    def add_song(self, song_hash: str, *, hours: float) -> None:
        self.song_store.put_song(song_hash, io.BytesIO(b"mp3"), size_bytes=3)
        self.age(self.song_store.input_bucket, f"{song_hash}.mp3", hours=hours)

    def add_result(self, job_id: str, *, hours: float, manifest_hours: float | None = None) -> None:
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
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def test_old_objects_are_deleted_and_young_ones_stay(archive: Archive) -> None:
    for job_id, hours in ((SONG, 25.0), (VARIANT, 25.0), (OTHER, 23.0)):
        archive.add_result(job_id, hours=hours)
    archive.add_song(SONG, hours=25)
    archive.add_song(OTHER, hours=23)
    assert archive.retention.sweep() == 2 * 5 + 1
    assert (archive.songs(), archive.jobs()) == ({OTHER}, {OTHER})


def test_manifest_is_deleted_before_its_stems(archive: Archive) -> None:
    archive.add_result(SONG, hours=25)
    has_manifest: list[bool] = []
    archive.store.before_delete = lambda key: has_manifest.append(
        archive.song_store.manifest(SONG) is not None
    )
    archive.retention.sweep()
    assert archive.store.deleted[0] == f"{SONG}.json"
    assert not any(has_manifest[1:])
    assert archive.jobs() == set()


@pytest.mark.parametrize("state", ["waiting", "delayed", "running"])
@pytest.mark.parametrize("job_id", [SONG, VARIANT])
def test_song_and_results_of_an_open_job_stay(archive: Archive, state: str, job_id: str) -> None:
    archive.add_song(SONG, hours=25)
    archive.add_result(SONG, hours=25)
    archive.queue.enqueue(Job(job_id=job_id))
    if state != "waiting":
        worker = archive.queue.consumer("w1")
        payload = worker.take(timeout_s=1)
        assert payload is not None
        claim = worker.claim(Job.decode(payload), payload=payload)
        if state == "delayed":
            worker.release(claim, delay_s=60)
    assert archive.retention.sweep() == 0
    assert (archive.songs(), archive.jobs()) == ({SONG}, {SONG})


def test_songs_of_every_list_of_spared_songs_stay(archive: Archive) -> None:
    for song in (SONG, OTHER):
        archive.add_song(song, hours=1000)
        archive.add_result(song, hours=1000)
    archive.sparing(archive.queue.referenced_songs, lambda: {SONG}).sweep()
    assert (archive.songs(), archive.jobs()) == ({SONG}, {SONG})


@pytest.mark.parametrize(("batch", "questions"), [(100, 1), (4, 1), (2, 2), (1, 4)])
def test_spared_songs_are_asked_for_once_a_batch(archive: Archive, batch: int, questions: int) -> None:
    for song in (SONG, OTHER):
        archive.add_song(song, hours=25)
        archive.add_result(song, hours=25)
    asked: list[int] = []

    def ask() -> set[str]:
        asked.append(1)
        return set()

    assert archive.sparing(ask, batch=batch).sweep() == 2 * 5 + 2
    assert len(asked) == questions


def test_spared_songs_are_not_asked_for_without_old_objects(archive: Archive) -> None:
    archive.add_song(SONG, hours=23)

    def ask() -> set[str]:
        raise AssertionError

    assert archive.sparing(ask).sweep() == 0


def test_song_whose_job_is_pushed_by_hand_during_the_sweep_stays(archive: Archive) -> None:
    """A push by hand, unlike the API, does not store the song again."""
    for song in (SONG, OTHER):
        archive.add_song(song, hours=25)

    def push(key: str) -> None:
        archive.store.before_delete = lambda _: None
        archive.queue.push(OTHER.encode())

    archive.store.before_delete = push
    retention = archive.sparing(archive.queue.referenced_songs, batch=1)
    assert retention.sweep() == 1
    assert archive.songs() == {OTHER}


def test_new_store_has_nothing_to_delete(tmp_path: Path) -> None:
    for store in (DirectoryStore(tmp_path / "none"), InMemoryStore()):
        song_store, queue = SongStore(store), InMemoryQueue()
        retention = Retention(
            queue=queue,
            registry=queue.registry,
            song_store=song_store,
            age_s=1.0,
            spared=[queue.referenced_songs],
        )
        sweep_if_due(retention, queue)


def test_old_stems_of_a_young_manifest_stay(archive: Archive) -> None:
    """A manifest is young after a stem was removed from it."""
    archive.add_result(SONG, hours=25, manifest_hours=1)
    assert archive.retention.sweep() == 0
    assert archive.song_store.whole_manifest(SONG)


def test_stems_without_a_manifest_are_deleted(archive: Archive) -> None:
    archive.add_result(SONG, hours=25)
    archive.store.delete(archive.song_store.output_bucket, f"{SONG}.json")
    assert archive.retention.sweep() == 4


def test_old_analysis_is_deleted_with_its_stems(archive: Archive) -> None:
    archive.add_result(SONG, hours=25)
    archive.song_store.put_analysis(SONG, b"{}")
    archive.age(archive.song_store.output_bucket, analysis_file(SONG), hours=25)
    assert archive.retention.sweep() == 6
    assert list(archive.song_store.outputs()) == []


def test_objects_replaced_after_the_listing_stay(archive: Archive) -> None:
    for song in (SONG, OTHER):
        archive.add_result(song, hours=25)
        archive.add_song(song, hours=25)

    def replace() -> set[str]:
        for song in (SONG, OTHER):
            archive.add_result(song, hours=0)
            archive.add_song(song, hours=0)
        return set()

    assert archive.sparing(replace).sweep() == 0
    assert (archive.songs(), archive.jobs()) == ({SONG, OTHER}, {SONG, OTHER})


def test_stem_stored_a_moment_ago_stays(archive: Archive) -> None:
    """Its manifest follows."""
    archive.add_result(SONG, hours=25)

    def store_again(key: str) -> None:
        if key.endswith(".json"):
            archive.age(archive.song_store.output_bucket, f"{SONG}-vocals.mp3", hours=0)

    archive.store.before_delete = store_again
    assert archive.retention.sweep() == 1 + 3
    assert [result.key for result in archive.song_store.results()] == [f"{SONG}-vocals.mp3"]


def test_song_posted_during_the_sweep_stays(archive: Archive) -> None:
    """The API stores an old song again before it enqueues the job."""
    for song in (SONG, OTHER):
        archive.add_song(song, hours=25)

    def post(key: str) -> None:
        archive.store.before_delete = lambda _: None
        archive.song_store.put_song(OTHER, io.BytesIO(b"mp3"), size_bytes=3)
        archive.queue.enqueue(Job(job_id=OTHER))

    archive.store.before_delete = post
    assert archive.retention.sweep() == 1
    assert archive.songs() == {OTHER}


def test_foreign_objects_stay(archive: Archive) -> None:
    file: BinaryIO = io.BytesIO(b"notes")
    archive.store.put(archive.song_store.output_bucket, "notes.txt", file, size_bytes=5)
    archive.age(archive.song_store.output_bucket, "notes.txt", hours=1000)
    assert archive.retention.sweep() == 0


def test_song_that_is_sent_again_is_young_again(archive: Archive) -> None:
    archive.add_song(SONG, hours=23.9)
    archive.song_store.put_song(SONG, io.BytesIO(b"mp3"), size_bytes=3)
    (found,) = archive.song_store.songs()
    assert time.time() - found.modified_at < 60


def test_nothing_is_deleted_without_an_answer(archive: Archive) -> None:
    archive.add_song(SONG, hours=25)

    def raise_unavailable() -> set[str]:
        raise StoreUnavailable

    with pytest.raises(StoreUnavailable):
        archive.sparing(raise_unavailable).sweep()
    assert archive.songs() == {SONG}


def test_second_keeper_does_not_sweep_within_the_interval(archive: Archive) -> None:
    sweep_if_due(archive.retention, archive.queue)
    archive.add_song(SONG, hours=25)
    sweep_if_due(archive.retention, archive.queue)
    assert archive.songs() == {SONG}


def test_lock_lasts_for_the_interval_after_a_sweep(archive: Archive) -> None:
    sweep_if_due(archive.retention, archive.queue)
    archive.add_song(SONG, hours=25)
    archive.clock.advance(archive.retention.every_s - 60)
    sweep_if_due(archive.retention, archive.queue)
    assert archive.songs() == {SONG}
    archive.clock.advance(60)
    sweep_if_due(archive.retention, archive.queue)
    assert archive.songs() == set()


def test_failed_sweep_is_repeated_within_two_minutes(archive: Archive) -> None:
    archive.add_song(SONG, hours=25)

    def fail(key: str) -> None:
        raise StoreUnavailable

    archive.store.before_delete = fail
    with pytest.raises(StoreUnavailable):
        sweep_if_due(archive.retention, archive.queue)
    archive.store.before_delete = lambda _: None
    archive.clock.advance(61)
    sweep_if_due(archive.retention, archive.queue)
    assert archive.songs() == set()


def test_lock_is_held_during_a_sweep_that_takes_long(archive: Archive) -> None:
    for song in (SONG, OTHER):
        archive.add_song(song, hours=25)
    others: list[bool] = []

    def take_long(key: str) -> None:
        archive.clock.advance(40)
        others.append(archive.queue.acquire_lock("retention", every_s=60))

    archive.store.before_delete = take_long
    sweep_if_due(archive.sparing(archive.queue.referenced_songs, batch=1), archive.queue)
    assert others == [False, False]


# Requests and retention


def finish_job(archive: Archive, job_id: str, *, hours: float) -> None:
    """Do a job, whose result is old by now."""
    archive.queue.enqueue(Job(job_id=job_id))
    worker = archive.queue.consumer("w1")
    payload = worker.take(timeout_s=1)
    assert payload is not None
    claim = worker.claim(Job.decode(payload), payload=payload)
    archive.add_result(job_id, hours=hours)
    worker.finish(claim, Result(model="htdemucs", device="cpu", stems=FOUR_STEMS))


def test_record_of_a_job_is_forgotten_with_its_result(archive: Archive) -> None:
    finish_job(archive, SONG, hours=25)
    finish_job(archive, OTHER, hours=23)
    archive.retention.sweep()
    assert archive.queue.status(SONG) is None
    assert archive.queue.status(OTHER) is not None


def test_record_is_forgotten_by_the_next_sweep_if_a_keeper_died(archive: Archive) -> None:
    """It died between the manifest and the record."""
    finish_job(archive, SONG, hours=25)
    archive.store.delete(archive.song_store.output_bucket, f"{SONG}.json")
    archive.retention.sweep()
    assert archive.queue.status(SONG) is None


@pytest.mark.parametrize("job_id", [SONG, VARIANT])
def test_song_and_results_that_were_asked_for_stay(archive: Archive, job_id: str) -> None:
    archive.add_song(SONG, hours=25)
    archive.add_result(job_id, hours=25)
    assert archive.queue.registry.request_song(SONG)
    assert archive.retention.sweep() == 0
    archive.clock.advance(REQUESTED_S)
    assert archive.retention.sweep() == 1 + 5


def test_result_that_is_used_again_is_young_again(archive: Archive) -> None:
    archive.add_result(SONG, hours=25)
    archive.add_result(OTHER, hours=25)
    assert archive.song_store.reuse(SONG, Recipe(), models=["htdemucs"])
    assert archive.retention.sweep() == 5
    assert archive.song_store.whole_manifest(SONG)


def test_song_is_not_requested_while_it_is_deleted(archive: Archive) -> None:
    archive.add_song(SONG, hours=25)
    answers: list[bool] = []
    archive.store.before_delete = lambda key: answers.append(archive.queue.registry.request_song(SONG))
    assert archive.retention.sweep() == 1
    assert answers == [False]
    assert archive.queue.registry.request_song(SONG)


def test_deletion_that_fails_keeps_requests_away_until_it_expires(archive: Archive) -> None:
    """The store may still do what it did not answer."""
    archive.add_song(SONG, hours=25)

    def fail(key: str) -> None:
        raise StoreUnavailable

    archive.store.before_delete = fail
    with pytest.raises(StoreUnavailable):
        archive.retention.sweep()
    assert not archive.queue.registry.request_song(SONG)
    archive.clock.advance(DELETION_S)
    assert archive.queue.registry.request_song(SONG)


def test_keeper_that_was_stopped_deletes_nothing_more(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its announcement expires meanwhile, and clients ask for the song again."""
    archive.add_result(SONG, hours=25)
    stopped_s = 0.0

    def stop(key: str) -> None:
        nonlocal stopped_s
        stopped_s = DELETION_S

    started = time.monotonic()
    clock = SimpleNamespace(monotonic=lambda: started + stopped_s, time=time.time)
    monkeypatch.setattr("msaas_keeper.retention.time", clock)
    archive.store.before_delete = stop
    assert archive.retention.sweep() == 1
    assert len(archive.store.deleted) == 1
    assert not archive.queue.registry.request_song(SONG)
