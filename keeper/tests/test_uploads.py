"""Anonymous uploads that a killed process left behind, and those past their age, are removed."""

import io
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from keeper.tests.conftest import start_housekeeping
from sqlalchemy import update
from structlog.testing import capture_logs

from msaas.errors import QueueUnavailable, StoreUnavailable
from msaas.jobs import Job
from msaas.queue.memory import InMemoryQueue
from msaas.recipe import Recipe
from msaas.songs import song_hash
from msaas.storage.directory import DirectoryStore
from msaas.storage.memory import InMemoryStore
from msaas.storage.song_store import SongStore
from msaas_catalogue import Catalogue, Song
from msaas_catalogue.database import Database
from msaas_catalogue.tables import SongRow
from msaas_keeper.settings import KeeperSettings
from msaas_keeper.uploads import GRACE_S, remove_interrupted_uploads, remove_old_uploads
from tests.servers import wait_until

STORED, LOST, OTHER = b"stored", b"lost", b"other"


@pytest.fixture
def song_store() -> SongStore:
    """A store with another song: it is neither new nor the wrong one."""
    song_store = SongStore(InMemoryStore())
    song_store.prepare()
    put(song_store, OTHER)
    return song_store


def put(song_store: SongStore, mp3: bytes) -> None:
    song_store.put_song(song_hash(mp3), io.BytesIO(mp3), size_bytes=len(mp3))


def add(catalogue: Catalogue, mp3: bytes, *, user_id: int | None = None) -> Song:
    return catalogue.songs.add("x", song_hash=song_hash(mp3), recipe=Recipe(), user_id=user_id)


def age(url: str, seconds: float) -> None:
    """Let so much time pass for all uploads."""
    database = Database(url)
    with database.writing() as session:
        session.execute(update(SongRow).values(created_at=SongRow.created_at - int(1000 * seconds)))
    database.close()


def left(catalogue: Catalogue) -> list[int]:
    now = time.time()
    return [song.id for song in catalogue.songs.list_anonymous(since=0, until=now + 1)]


def test_upload_without_a_song_is_removed_after_an_hour(
    catalogue: Catalogue, url: str, song_store: SongStore
) -> None:
    put(song_store, STORED)
    kept = add(catalogue, STORED)
    lost = add(catalogue, LOST)
    remove_interrupted_uploads(catalogue.songs, queue=InMemoryQueue(), song_store=song_store)
    assert left(catalogue) == [kept.id, lost.id]
    age(url, GRACE_S + 60)
    remove_interrupted_uploads(catalogue.songs, queue=InMemoryQueue(), song_store=song_store)
    assert left(catalogue) == [kept.id]


def test_upload_with_a_job_or_a_result_stays(catalogue: Catalogue, url: str, song_store: SongStore) -> None:
    queue = InMemoryQueue()
    lost, other = add(catalogue, LOST), add(catalogue, STORED)
    queue.enqueue(Job(job_id=lost.job_id))
    song_store.put_stem(other.job_id, "bass", io.BytesIO(b"bass"))
    age(url, GRACE_S + 60)
    remove_interrupted_uploads(catalogue.songs, queue=queue, song_store=song_store)
    assert left(catalogue) == [lost.id, other.id]


def test_upload_of_a_user_stays(catalogue: Catalogue, url: str, song_store: SongStore) -> None:
    login = catalogue.accounts.register("ann", password="correct horse", repeated="correct horse")
    song = add(catalogue, LOST, user_id=login.user.id)
    age(url, GRACE_S + 60)
    remove_interrupted_uploads(catalogue.songs, queue=InMemoryQueue(), song_store=song_store)
    assert catalogue.songs.get(song.id, user_id=login.user.id) == replace(
        song, created_at=pytest.approx(song.created_at - GRACE_S - 60, abs=1)
    )


def test_nothing_is_removed_while_the_store_is_empty_or_away(catalogue: Catalogue, url: str) -> None:
    lost, store = add(catalogue, LOST), InMemoryStore()
    age(url, GRACE_S + 60)
    remove_interrupted_uploads(catalogue.songs, queue=InMemoryQueue(), song_store=SongStore(store))
    assert left(catalogue) == [lost.id]
    store.away = True
    with pytest.raises(StoreUnavailable):
        remove_interrupted_uploads(catalogue.songs, queue=InMemoryQueue(), song_store=SongStore(store))
    assert left(catalogue) == [lost.id]


def test_keeper_removes_them(
    catalogue: Catalogue, url: str, song_store: SongStore, stopping: threading.Event
) -> None:
    add(catalogue, LOST)
    age(url, GRACE_S + 60)
    start_housekeeping(KeeperSettings(), stopping, song_store=song_store, catalogue=catalogue)
    wait_until(lambda: left(catalogue) == [], timeout_s=10)


# Age

DAY_S = 24 * 3600.0


def register(catalogue: Catalogue) -> int:
    return catalogue.accounts.register("ann", password="correct horse", repeated="correct horse").user.id


def test_old_anonymous_uploads_are_removed_and_those_of_users_stay(catalogue: Catalogue, url: str) -> None:
    user_id = register(catalogue)
    mine = add(catalogue, STORED, user_id=user_id)
    add(catalogue, STORED)
    age(url, DAY_S + 60)
    young = add(catalogue, LOST)
    with capture_logs() as lines:
        remove_old_uploads(catalogue.songs, queue=InMemoryQueue(), age_s=DAY_S)
        remove_old_uploads(catalogue.songs, queue=InMemoryQueue(), age_s=DAY_S)
    assert left(catalogue) == [young.id]
    assert catalogue.songs.get(mine.id, user_id=user_id).song_hash == song_hash(STORED)
    assert [line for line in lines if line["event"] == "old_uploads_removed"] == [
        {"event": "old_uploads_removed", "uploads": 1, "log_level": "info"}
    ]


@pytest.mark.parametrize("batch", [1, 2, 3, 500])
def test_uploads_of_open_jobs_stay_in_every_batch(catalogue: Catalogue, url: str, batch: int) -> None:
    queue = InMemoryQueue()
    added = [add(catalogue, mp3) for mp3 in (STORED, LOST, OTHER, STORED, LOST)]
    age(url, DAY_S + 60)
    queue.enqueue(Job(job_id=song_hash(LOST)))
    remove_old_uploads(catalogue.songs, queue=queue, age_s=DAY_S, batch=batch)
    assert left(catalogue) == [added[1].id, added[4].id]


def test_upload_of_this_hour_stays_whatever_the_age(catalogue: Catalogue, url: str) -> None:
    """Its song may be on its way to the store."""
    song = add(catalogue, STORED)
    age(url, GRACE_S - 60)
    remove_old_uploads(catalogue.songs, queue=InMemoryQueue(), age_s=1.0)
    assert left(catalogue) == [song.id]
    age(url, 120)
    remove_old_uploads(catalogue.songs, queue=InMemoryQueue(), age_s=1.0)
    assert left(catalogue) == []


def test_nothing_is_removed_while_the_queue_is_away(catalogue: Catalogue, url: str) -> None:
    """An open job could not be seen."""
    song = add(catalogue, STORED)
    age(url, DAY_S + 60)

    class AwayQueue(InMemoryQueue):
        def referenced_songs(self) -> set[str]:
            raise QueueUnavailable

    with pytest.raises(QueueUnavailable):
        remove_old_uploads(catalogue.songs, queue=AwayQueue(), age_s=DAY_S)
    assert left(catalogue) == [song.id]


def test_keeper_removes_old_uploads_with_their_songs_and_results(
    catalogue: Catalogue, url: str, tmp_path: Path, stopping: threading.Event
) -> None:
    song_store = SongStore(DirectoryStore(tmp_path / "store"))
    song_store.prepare()
    user_id = register(catalogue)
    for mp3, uploader in ((STORED, None), (OTHER, None), (OTHER, user_id)):
        put(song_store, mp3)
        song = add(catalogue, mp3, user_id=uploader)
        song_store.put_stem(song.job_id, "bass", io.BytesIO(b"bass"))
    age(url, DAY_S + 60)
    then = time.time() - DAY_S - 60
    for file in (tmp_path / "store").rglob("*"):
        os.utime(file, (then, then))
    # A sweep every 0.36 s.
    start_housekeeping(
        KeeperSettings(retention_hours=0.001), stopping, song_store=song_store, catalogue=catalogue
    )
    wait_until(lambda: left(catalogue) == [], timeout_s=10)
    wait_until(lambda: not song_store.knows(song_hash(STORED)), timeout_s=10)
    assert song_store.knows(song_hash(OTHER))
