"""`QUEUE=rabbitmq`: uploads of the songs API are messages of a broker, and `/apiv1` stays on Redis."""

import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from pydantic import ValidationError
from rest.tests.in_memory import client_on, send
from rest.tests.service import FRAME
from rest.tests.worker_archives import STEMS, TOKEN, archive, bearer

from msaas.errors import QueueUnavailable
from msaas.queue.memory import InMemoryQueue, InMemorySongRegistry
from msaas.queue.memory.songs import InMemorySongQueue
from msaas.queue.songs import SongMessage
from msaas.songs import song_hash
from msaas.storage.memory import InMemoryStore
from msaas.storage.song_store import SongStore
from msaas_catalogue import Catalogue, open_catalogue, prepare
from msaas_rest.settings import RestSettings

MP3 = FRAME * 100
HASH = song_hash(MP3)
PASSWORDS = {"password1": "correct horse", "password2": "correct horse"}


@dataclass
class Site:
    """The API on in-memory adapters. `songs` is the queue of the broker, `jobs` that of Redis."""

    catalogue: Catalogue
    songs: InMemorySongQueue = field(default_factory=InMemorySongQueue)
    jobs: InMemoryQueue = field(default_factory=InMemoryQueue)
    registry: InMemorySongRegistry = field(default_factory=InMemorySongRegistry)
    store: InMemoryStore = field(default_factory=InMemoryStore)

    def visit(self, name: str = "") -> FlaskClient:
        client = client_on(
            store=self.store,
            queue=self.jobs,
            registry=self.registry,
            catalogue=self.catalogue,
            song_queue=self.songs,
            database_url="sqlite://",
            worker_token=TOKEN,
        )
        if name:
            assert client.post("/auth/register", data={"username": name, **PASSWORDS}).status_code == 200
        return client

    def objects(self) -> set[str]:
        songs = SongStore(self.store)
        return {each.key for each in (*songs.songs(), *songs.outputs())}

    def published(self) -> list[str]:
        return [each.message_id for each in self.songs.waiting()]

    def take(self) -> None:
        delivery = self.songs.take(timeout_s=0)
        assert delivery is not None
        delivery.complete()

    def send_result(self) -> int:
        answer = self.visit().post(f"/songs/{HASH}/upload_result", data=archive(), headers=bearer())
        return answer.status_code


@pytest.fixture
def site(tmp_path: Path) -> Site:
    url = f"sqlite:///{tmp_path / 'catalogue.db'}"
    prepare(url)
    return Site(open_catalogue(url))


def post(client: FlaskClient, mp3: bytes = MP3, **fields: str) -> Any:
    return client.post(
        "/songs/upload", data={"title": "Morning", **fields, "file": (io.BytesIO(mp3), "x.mp3")}
    )


def upload(client: FlaskClient, mp3: bytes = MP3) -> dict[str, Any]:
    answer = post(client, mp3)
    assert answer.status_code == 200, answer.text
    song: dict[str, Any] = answer.get_json()["data"]["song"]
    return song


def show(client: FlaskClient, song: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = client.get(f"/songs/{song['id']}").get_json()["data"]["song"]
    return shown


def test_upload_is_published_with_its_bytes_and_hash(site: Site) -> None:
    song = upload(site.visit("ann"))
    assert song["status"] == "UPLOADED"
    assert site.songs.waiting() == [
        SongMessage(message_id=HASH, body=MP3, extras=("peaks", "analysis")),
    ]
    assert site.jobs.waiting() == []
    assert site.objects() == {f"{HASH}.mp3"}


def test_result_splits_the_song(site: Site) -> None:
    ann = site.visit("ann")
    song = upload(ann)
    assert site.send_result() == 200
    assert show(ann, song) == song | {"status": "SPLIT"}
    assert ann.get(f"/songs/{song['id']}/bass.mp3").data == STEMS["bass"]


def test_jobs_of_the_machine_api_stay_in_redis(site: Site) -> None:
    assert send(site.visit(), MP3).status_code == 200
    assert site.jobs.waiting() == [HASH]
    assert site.published() == []


def test_song_waits_in_its_events(site: Site) -> None:
    ann = site.visit("ann")
    song = upload(ann)
    assert ann.head(f"/songs/{song['id']}/events").status_code == 200
    delete(ann, song)
    assert ann.head(f"/songs/{song['id']}/events").status_code == 404


# Refusals


def assert_untouched(site: Site) -> None:
    assert site.objects() == set()
    assert site.published() == []
    assert site.catalogue.songs.list_page(user_id=None).songs == ()


def test_song_above_the_limit_of_a_message_is_refused_before_it_is_stored(site: Site) -> None:
    site.songs.max_message_bytes = len(MP3) - 1
    answer = post(site.visit())
    assert (answer.status_code, answer.get_json()["errors"].keys()) == (413, {"file"})
    assert_untouched(site)
    site.songs.max_message_bytes = len(MP3)
    upload(site.visit())


@pytest.mark.parametrize("fields", [{"model": "mdx"}, {"format": "flac"}, {"stems": "vocals"}])
def test_options_are_refused(site: Site, fields: dict[str, str]) -> None:
    answer = post(site.visit(), **fields)
    assert answer.status_code == 422
    assert next(iter(fields)) in answer.text
    assert_untouched(site)


def test_defaults_are_accepted_by_name(site: Site) -> None:
    assert post(site.visit(), model="htdemucs", format="mp3").status_code == 200
    assert site.published() == [HASH]


def test_absent_broker_is_503_and_nothing_is_stored(site: Site) -> None:
    site.songs.away = True
    answer = post(site.visit())
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert_untouched(site)


@pytest.mark.parametrize("name", ["", "ann"])
def test_song_that_cannot_be_published_leaves_no_upload(
    site: Site, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(song_hash: str, body: bytes, *, extras: tuple[str, ...]) -> None:
        raise QueueUnavailable("lost")

    client = site.visit(name)
    with monkeypatch.context() as patch:
        patch.setattr(site.songs, "publish", fail)
        assert post(client).status_code == 503
    assert client.get("/songs/").get_json()["data"]["songs"] == []
    # Only the machine API may know an anonymous song, and retention removes it.
    assert site.objects() == (set() if name else {f"{HASH}.mp3"})
    assert upload(client)["status"] == "UPLOADED"
    assert site.published() == [HASH]


def test_one_song_at_a_time_is_in_memory(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five clients upload at once."""
    publish, inside, most = site.songs.publish, [], []

    def count(song_hash: str, body: bytes, *, extras: tuple[str, ...]) -> None:
        inside.append(song_hash)
        most.append(len(inside))
        time.sleep(0.05)
        publish(song_hash, body)
        inside.remove(song_hash)

    monkeypatch.setattr(site.songs, "publish", count)
    # One process has one queue of uploads.
    client = site.visit()
    with ThreadPoolExecutor(5) as threads:
        answers = list(
            threads.map(
                lambda number: post(client.application.test_client(), FRAME * number), range(100, 105)
            )
        )
    assert [each.status_code for each in answers] == [200] * 5
    assert len(site.published()) == 5
    assert max(most) == 1


# The same song again


def test_song_of_two_users_is_published_once(site: Site) -> None:
    ann, bob = site.visit("ann"), site.visit("bob")
    songs = [upload(ann), upload(bob)]
    assert site.published() == [HASH]
    assert site.send_result() == 200
    assert [show(ann, songs[0])["status"], show(bob, songs[1])["status"]] == ["SPLIT", "SPLIT"]


def test_song_with_a_result_is_not_published(site: Site) -> None:
    upload(site.visit("ann"))
    site.take()
    assert site.send_result() == 200
    assert upload(site.visit("bob"))["status"] == "SPLIT"
    assert site.published() == []


def test_song_whose_stems_were_removed_is_published_again(site: Site) -> None:
    client = site.visit()
    upload(client)
    site.take()
    assert site.send_result() == 200
    assert client.delete(f"/apiv1/remove/{HASH}/bass").status_code == 200
    upload(client)
    assert site.published() == [HASH]


def delete(client: FlaskClient, song: dict[str, Any]) -> None:
    assert client.delete(f"/songs/{song['id']}").status_code == 200


def test_result_of_a_deleted_song_is_refused(site: Site) -> None:
    ann = site.visit("ann")
    delete(ann, upload(ann))
    assert site.objects() == set()
    assert site.send_result() == 410
    assert site.objects() == set()


def test_song_that_waits_for_another_user_gets_its_result(site: Site) -> None:
    ann, bob = site.visit("ann"), site.visit("bob")
    song = upload(ann)
    kept = upload(bob)
    delete(ann, song)
    assert site.send_result() == 200
    assert show(bob, kept)["status"] == "SPLIT"


@pytest.mark.parametrize("is_refused", [False, True])
def test_deleted_song_that_is_uploaded_again_is_separated(site: Site, is_refused: bool) -> None:
    """A message that waits serves the new upload. After a refusal there is none, and a new one is sent."""
    ann = site.visit("ann")
    delete(ann, upload(ann))
    if is_refused:
        site.take()
        assert site.send_result() == 410
    song = upload(ann)
    assert site.published() == [HASH]
    assert site.send_result() == 200
    assert show(ann, song)["status"] == "SPLIT"


# Settings


@pytest.mark.parametrize("missing", ["DATABASE_URL", "WORKER_TOKEN"])
def test_rabbitmq_needs_a_database_and_a_token(missing: str) -> None:
    settings = {"DATABASE_URL": "sqlite://", "WORKER_TOKEN": TOKEN}
    del settings[missing]
    values: dict[str, Any] = {name.lower(): value for name, value in settings.items()}
    with pytest.raises(ValidationError, match=f"QUEUE=rabbitmq needs {missing}"):
        RestSettings(queue="rabbitmq", **values)


@pytest.mark.parametrize("change", [lambda: {"queue": "kafka"}, lambda: {"worker_token": "short"}])
def test_invalid_settings_are_refused(change: Callable[[], dict[str, Any]]) -> None:
    with pytest.raises(ValidationError):
        RestSettings(**change())
