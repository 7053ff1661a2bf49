"""Lists of songs after the queue has forgotten their jobs: the catalogue has their state, not the store."""

import io
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from flask.testing import FlaskClient
from rest.tests.in_memory import client_on
from rest.tests.service import FRAME, Service
from rest.tests.songs_client import SongsClient

from msaas.manifest import Manifest, StemFile
from msaas.recipe import Recipe
from msaas.songs import song_hash
from msaas.storage.memory import InMemoryStore
from msaas.storage.protocol import StoredObject
from msaas.storage.song_store import SongStore
from msaas_catalogue import Catalogue, open_catalogue
from tests.servers import RedisServer

Visit = Callable[..., SongsClient]
MP3 = FRAME * 100
HASH = song_hash(MP3)
SONGS = 100


class CountingStore(InMemoryStore):
    """Counts the calls that read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def get(self, bucket: str, key: str, **span: Any) -> Iterator[bytes]:
        self.reads += 1
        yield from super().get(bucket, key, **span)

    def stat(self, bucket: str, key: str) -> StoredObject:
        self.reads += 1
        return super().stat(bucket, key)

    def list(self, bucket: str, *, prefix: str = "") -> Iterator[StoredObject]:
        self.reads += 1
        yield from super().list(bucket, prefix=prefix)


@pytest.fixture
def catalogue(database_url: str) -> Iterator[Catalogue]:
    with closing(open_catalogue(database_url)) as catalogue:
        yield catalogue


def add_songs(catalogue: Catalogue, store: InMemoryStore) -> None:
    """Add anonymous songs without records: three of four are split, the others have failed."""
    song_store = SongStore(store)
    song_store.prepare()
    for number in range(SONGS):
        name = f"{number:064x}"
        catalogue.songs.add(f"Song {number}", song_hash=name, recipe=Recipe(), user_id=None)
        store.put("input-tracks", f"{name}.mp3", io.BytesIO(), size_bytes=0)
        if number % 4:
            song_store.put_manifest(manifest_of(name))


def manifest_of(job_id: str) -> Manifest:
    return Manifest(
        job_id=job_id,
        model="htdemucs",
        weights_sha256="",
        engine="",
        samples=0,
        samplerate=44100,
        stems={"vocals": StemFile(f"{job_id}-vocals.mp3", 0, "0" * 64)},
    )


def list_all(client: FlaskClient) -> list[tuple[str, list[str]]]:
    songs = client.get("/songs/?fields=stems,model").json["data"]["songs"]  # type: ignore[index]
    return [(song["status"], song["stems"]) for song in songs]


def test_second_list_of_songs_without_records_reads_no_object(catalogue: Catalogue) -> None:
    store = CountingStore()
    add_songs(catalogue, store)
    client = client_on(store=store, catalogue=catalogue)
    expected = [("SPLIT", ["vocals"]) if number % 4 else ("UPLOADED", []) for number in range(SONGS)]
    assert list_all(client) == expected
    store.reads = 0
    assert list_all(client) == expected
    assert store.reads == 0


def shown(client: SongsClient, song: dict[str, Any]) -> tuple[str, list[str]]:
    """Return the state and the stems of a song in the list, which must be those of the song alone."""
    fields = "?fields=stems"
    [listed] = [each for each in client.list(fields) if each["id"] == song["id"]]
    assert listed == client.show(song["id"], query=fields)
    return listed["status"], sorted(listed["stems"])


def test_list_follows_a_song_whose_record_expires_at_each_step(
    visit: Visit, songs_service: Service, redis_server: RedisServer
) -> None:
    client, redis = visit(), redis_server.client()
    song = client.upload(MP3)
    redis.flushall()
    for _ in range(2):
        assert shown(client, song) == ("UPLOADED", [])
    again = client.upload(MP3)
    songs_service.work()
    redis.flushall()
    for _ in range(2):
        for each in (song, again):
            assert shown(client, each) == ("SPLIT", ["bass", "drums", "other", "vocals"])
    assert songs_service.call("DELETE", f"/apiv1/remove/{HASH}/bass").status_code == 200
    for _ in range(2):
        assert shown(client, song) == ("SPLIT", ["drums", "other", "vocals"])
    assert songs_service.call("DELETE", "/apiv1/delete_contents").status_code == 200
    for _ in range(2):
        assert shown(client, song) == ("UPLOADING", [])


def test_damaged_stem_leaves_the_list(
    visit: Visit, songs_service: Service, redis_server: RedisServer
) -> None:
    client = visit("ann")
    song = client.upload(MP3)
    songs_service.work()
    redis_server.client().delete(f"job:{HASH}")
    assert shown(client, song)[1] == ["bass", "drums", "other", "vocals"]
    store = songs_service.song_store
    store.store.delete(store.output_bucket, f"{HASH}-bass.mp3")
    assert client.get(f"/songs/{song['id']}/bass.mp3").status_code == 404
    assert shown(client, song)[1] == ["drums", "other", "vocals"]


def test_song_that_is_shown_corrects_its_note(catalogue: Catalogue) -> None:
    """An operator may remove objects by hand. No process of the service sees it."""
    store = InMemoryStore()
    add_songs(catalogue, store)
    client = client_on(store=store, catalogue=catalogue)
    assert list_all(client)[1] == ("SPLIT", ["vocals"])
    store.delete("output-tracks", f"{1:064x}.json")
    song_id = client.get("/songs/").json["data"]["songs"][1]["id"]  # type: ignore[index]
    assert client.get(f"/songs/{song_id}").json["data"]["song"]["status"] == "UPLOADED"  # type: ignore[index]
    assert list_all(client)[1] == ("UPLOADED", [])
