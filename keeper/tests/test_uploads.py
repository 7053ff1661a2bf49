"""Anonymous uploads that a killed process left behind are removed."""

import io
import threading
import time
from dataclasses import replace

import pytest
from sqlalchemy import update

from msaas.errors import StoreUnavailable
from msaas.jobs import Job
from msaas.queue.memory import InMemoryQueue
from msaas.recipe import Recipe
from msaas.songs import song_hash
from msaas.storage.memory import InMemoryStore
from msaas.storage.song_store import SongStore
from msaas_catalogue import Catalogue, Song
from msaas_catalogue.database import Database
from msaas_catalogue.tables import SongRow
from msaas_keeper.__main__ import bootstrap
from msaas_keeper.settings import KeeperSettings
from msaas_keeper.uploads import GRACE_S, remove_interrupted_uploads
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
    queue = InMemoryQueue()
    bootstrap(
        KeeperSettings(),
        stopping,
        queue=queue,
        registry=queue.registry,
        history=queue.history,
        outbox=queue.outbox,
        song_store=song_store,
        catalogue=catalogue,
    )
    wait_until(lambda: left(catalogue) == [], timeout_s=10)
