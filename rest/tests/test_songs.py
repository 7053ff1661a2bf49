"""`/songs`: upload, list, show, rename, delete, and the status of songs."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from rest.tests.conftest import Start
from rest.tests.in_memory import client_on
from rest.tests.service import FRAME, Service
from rest.tests.songs_client import SongsClient, texts_of
from sqlalchemy import insert

from msaas.errors import QueueFull
from msaas.jobs import Job, JobError, JobState
from msaas.queue.consumer import Result
from msaas.queue.memory import InMemoryQueue
from msaas.recipe import Recipe
from msaas.songs import song_hash
from msaas.storage.memory import InMemoryStore
from msaas.storage.song_store import SongStore
from msaas_catalogue import open_catalogue, prepare
from msaas_catalogue.database import Database
from msaas_catalogue.tables import SongRow
from msaas_rest.http.body import BODY, ReceivedBody
from tests.servers import RedisServer, wait_until

Visit = Callable[..., SongsClient]
MP3 = FRAME * 100
OTHER = FRAME * 200
HASH = song_hash(MP3)
DONE: dict[str, Any] = {"ok": True, "errors": {}}


def id3(title: str) -> bytes:
    """Return an ID3v2.3 tag with a title."""
    text = b"\x01" + title.encode("utf-16")
    frame = b"TIT2" + len(text).to_bytes(4) + b"\0\0" + text
    return b"ID3\x03\0\0" + bytes([0, 0, len(frame) >> 7, len(frame) & 127]) + frame


# Upload


def test_upload_has_the_exact_shape_of_the_contract(visit: Visit) -> None:
    client = visit("ann")
    answer = client.send(MP3, title="Morning")
    user_id = client.get("/auth/account").json()["data"]["user"]["id"]
    song = {"id": 1, "title": "Morning", "hash": HASH, "uploader_id": user_id, "status": "UPLOADED"}
    song["id"] = answer.json()["data"]["song"]["id"]
    assert (answer.status_code, answer.json()) == (200, {**DONE, "data": {"song": song}})
    assert isinstance(song["id"], int)
    assert client.get(f"/songs/{song['id']}").json() == answer.json()
    assert client.get("/songs/").json() == {**DONE, "data": {"songs": [song]}}


def test_text_in_place_of_the_file_is_refused_in_words(visit: Visit) -> None:
    """As by `curl -F file=song.mp3`, without the `@`."""
    answer = visit("ann").call("POST", "/songs/upload", files={"file": (None, "song.mp3")})
    assert (answer.status_code, texts_of(answer)) == (
        400,
        {"file": ["Field `file` is a text. Send a file, with curl by -F file=@song.mp3."]},
    )


def test_anonymous_upload_has_no_uploader(visit: Visit) -> None:
    song = visit().upload(MP3)
    assert song["uploader_id"] is None
    assert visit("ann").list() == visit().list() == [song]


def test_upload_with_a_dead_session_is_refused(visit: Visit, songs_service: Service) -> None:
    client = visit()
    client.session.cookies["msaas"] = "dead"
    answer = client.send(MP3, title="Morning")
    assert (answer.status_code, texts_of(answer).keys()) == (401, {"general"})
    assert client.get("/songs/").status_code == 401
    assert list(songs_service.song_store.songs()) == []


def test_upload_stores_the_song_and_enqueues_its_job(visit: Visit, songs_service: Service) -> None:
    visit("ann").upload(MP3)
    assert [each.key for each in songs_service.song_store.songs()] == [f"{HASH}.mp3"]
    assert songs_service.queue.waiting() == [HASH]


@pytest.mark.parametrize(
    ("mp3", "name", "fields", "title"),
    [
        (MP3, "song.mp3", {"title": "  My  song "}, "My song"),
        (id3("Größe") + MP3, "song.mp3", {}, "Größe"),
        (id3("Größe") + MP3, "song.mp3", {"title": "Mine"}, "Mine"),
        (MP3, "music/A song.mp3", {}, "A song"),
        (MP3, "../../etc/passwd", {}, "passwd"),
        (MP3, ".mp3", {"title": " "}, ".mp3"),
        (id3("x" * 90) + MP3, "song.mp3", {}, "x" * 90),
    ],
)
def test_title_is_that_of_the_form_the_tags_or_the_file(
    visit: Visit, mp3: bytes, name: str, fields: dict[str, str], title: str
) -> None:
    answer = visit().send(mp3, name=name, **fields)
    assert answer.json()["data"]["song"]["title"] == title


def test_recipe_is_chosen_at_the_upload(visit: Visit, songs_service: Service) -> None:
    song = visit("ann").upload(MP3, model="htdemucs_6s", stems="vocals,guitar")
    recipe = Recipe(model="htdemucs_6s", stems=("vocals", "guitar"))
    assert songs_service.queue.waiting() == [recipe.job_id(HASH)]
    assert song["hash"] == HASH
    shown = visit_again(visit).show(song["id"], query="?fields=recipe")
    assert shown["recipe"] == {"model": "htdemucs_6s", "stems": ["vocals", "guitar"]}


def visit_again(visit: Visit) -> SongsClient:
    client = visit()
    assert client.login("ann").status_code == 200
    return client


@pytest.mark.parametrize(
    ("fields", "status", "field"),
    [
        ({"model": "nobody/evil"}, 422, "model"),
        ({"stems": "cowbell"}, 422, "stems"),
        ({"format": "tape"}, 422, "format"),
        ({"bits": "7"}, 422, "general"),
        ({"artist": "x"}, 400, "artist"),
        ({"title": "x" * 201}, 400, "title"),
    ],
)
def test_wrong_field_of_an_upload_is_named(
    visit: Visit, songs_service: Service, fields: dict[str, str], status: int, field: str
) -> None:
    answer = visit("ann").send(MP3, **fields)
    assert (answer.status_code, texts_of(answer).keys()) == (status, {field})
    assert list(songs_service.song_store.songs()) == []
    assert visit_again(visit).list() == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"data": MP3, "headers": {"Content-Type": "audio/mpeg"}}, 400),
        ({"json": {"title": "x"}}, 400),
        ({"files": {"title": (None, "x")}}, 400),
        ({"files": {"file": ("a.mp3", b"")}}, 400),
        ({"files": {"file": ("a.mp3", b"not a song" * 100)}}, 415),
        ({"files": [("file", ("a.mp3", MP3)), ("file", ("b.mp3", MP3))]}, 400),
        ({"files": {"file": ("a.mp3", MP3), "other": ("b.mp3", MP3)}}, 400),
        ({"data": b"--x\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 400),
    ],
)
def test_upload_without_one_song_is_refused(
    visit: Visit, songs_service: Service, body: dict[str, Any], status: int
) -> None:
    answer = visit().call("POST", "/songs/upload", **body)
    assert answer.status_code == status
    assert texts_of(answer)
    assert list(songs_service.song_store.songs()) == []
    assert visit().list() == []


def test_upload_limit_is_its_own(shared: Start, database_url: str) -> None:
    service = shared(DATABASE_URL=database_url, MAX_SONG_UPLOAD_MB="1")
    client = SongsClient(service=service)
    large = FRAME * 2700
    assert len(large) > 1024 * 1024
    answer = client.send(large)
    assert (answer.status_code, texts_of(answer).keys()) == (413, {"file"})
    assert service.send(large).status_code == 200
    assert client.send(FRAME * 2500).status_code == 200


def test_upload_of_75_mb_is_accepted(visit: Visit) -> None:
    frames = 75_000_000 // len(FRAME)
    assert visit().send(FRAME * frames).json()["data"]["song"]["status"] == "UPLOADED"


def test_full_queue_refuses_uploads_and_leaves_nothing(shared: Start, database_url: str) -> None:
    service = shared(DATABASE_URL=database_url, MAX_QUEUED="1")
    client = SongsClient(service=service)
    client.register("ann")
    client.upload(MP3)
    answer = client.send(OTHER)
    assert (answer.status_code, texts_of(answer).keys()) == (503, {"general"})
    assert len(client.list()) == len(list(service.song_store.songs())) == 1


# Status


def test_status_follows_the_job(visit: Visit, songs_service: Service) -> None:
    client = visit("ann")
    song = client.upload(MP3)
    consumer, claim = songs_service.claim()
    # Until the first segment is separated, the song shows what its upload showed.
    assert client.show(song["id"]) == song
    consumer.renew(claim, progress=0.05)
    assert client.show(song["id"]) == {**song, "status": "SPLITTING"}
    songs_service.store_stems(HASH)
    consumer.finish(claim, Result(model="htdemucs", device="cpu", stems=("bass", "drums", "other", "vocals")))
    assert client.show(song["id"]) == {**song, "status": "SPLIT"}
    assert client.list() == [{**song, "status": "SPLIT"}]


def test_failed_job_is_uploaded_with_an_error(visit: Visit, songs_service: Service) -> None:
    client = visit("ann")
    song = client.upload(MP3)
    consumer, claim = songs_service.claim()
    consumer.fail(claim, JobError("separation_failed", "The separation failed.", "oops"))
    assert client.show(song["id"]) == song
    shown = client.show(song["id"], query="?fields=error,progress")
    assert shown["error"] == {
        "code": "separation_failed",
        "title": "The separation failed.",
        "detail": "oops",
    }


def test_result_without_a_record_is_split(
    visit: Visit, songs_service: Service, redis_server: RedisServer
) -> None:
    client = visit("ann")
    song = client.upload(MP3)
    songs_service.work()
    redis_server.client().delete(f"job:{HASH}")
    shown = client.show(song["id"], query="?fields=stems,progress,model")
    assert (shown["status"], shown["progress"], shown["model"]) == ("SPLIT", 1.0, "htdemucs")
    assert sorted(shown["stems"]) == ["bass", "drums", "other", "vocals"]


def test_song_that_is_not_stored_is_uploading(
    visit: Visit, songs_service: Service, redis_server: RedisServer
) -> None:
    client = visit("ann")
    song = client.upload(MP3)
    redis_server.client().delete(f"job:{HASH}")
    assert client.show(song["id"])["status"] == "UPLOADED"
    songs_service.song_store.delete_contents()
    assert client.show(song["id"])["status"] == "UPLOADING"


def test_same_song_twice_is_one_separation(visit: Visit, songs_service: Service) -> None:
    ann, bob = visit("ann"), visit("bob")
    first, second = ann.upload(MP3), bob.upload(MP3)
    assert songs_service.queue.waiting() == [HASH]
    songs_service.work()
    assert ann.show(first["id"])["status"] == bob.show(second["id"])["status"] == "SPLIT"
    assert bob.upload(MP3)["status"] == "SPLIT"
    assert songs_service.queue.waiting() == []


# List and fields


def test_list_is_searched_sorted_and_paged(visit: Visit) -> None:
    client = visit("ann")
    ids = {title: client.upload(MP3, title=title)["id"] for title in ("Beta", "alpha", "Gamma beta")}
    assert [song["title"] for song in client.list()] == list(ids)
    assert [song["title"] for song in client.list("?search=BETA&sort=-title")] == ["Gamma beta", "Beta"]
    page = client.get("/songs/?limit=2&sort=title").json()["data"]
    assert [song["title"] for song in page["songs"]] == ["alpha", "Beta"]
    rest = client.get("/songs/", params={"limit": 2, "sort": "title", "cursor": page["next"]}).json()["data"]
    assert [song["title"] for song in rest["songs"]] == ["Gamma beta"]
    assert "next" not in rest


@pytest.mark.long
def test_list_without_a_limit_has_10000_songs_and_a_cursor(visit: Visit, database_url: str) -> None:
    facts = {"song_hash": HASH, "job_id": HASH, "recipe": "{}", "created_at": 0}
    songs = [{"title": "Hum", "title_key": "hum", **facts} for _ in range(10_001)]
    database = Database(database_url)
    with database.writing() as session:
        session.execute(insert(SongRow), songs)
    database.close()
    page = visit().get("/songs/").json()["data"]
    assert len(page["songs"]) == 10_000
    rest = visit().get("/songs/", params={"cursor": page["next"]}).json()["data"]
    assert [len(rest["songs"]), rest.get("next")] == [1, None]


@pytest.mark.parametrize(
    "query",
    ["sort=size", "limit=0", "limit=x", "limit=1001", "cursor=x", "fields=owner", "page=2"],
)
def test_wrong_query_names_its_field(visit: Visit, query: str) -> None:
    answer = visit().get(f"/songs/?{query}")
    assert (answer.status_code, texts_of(answer).keys()) == (400, {query.partition("=")[0]})


def test_further_fields_are_added_on_demand(visit: Visit) -> None:
    client = visit("ann")
    song = client.upload(MP3)
    names = [
        "created_at",
        "recipe",
        "job_id",
        "error",
        "progress",
        "position",
        "duration_s",
        "model",
        "stems",
    ]
    shown = client.show(song["id"], query=f"?fields={','.join(names)}")
    assert shown.keys() == {*song, *names}
    assert (shown["recipe"], shown["job_id"], shown["error"], shown["position"]) == ({}, HASH, None, 1)
    assert client.list("?fields=job_id")[0].keys() == {*song, "job_id"}


# Rename and delete


@pytest.mark.parametrize("kind", ["data", "json"])
def test_song_is_renamed(visit: Visit, kind: str) -> None:
    client = visit("ann")
    song = client.upload(MP3)
    answer = client.call("PATCH", f"/songs/{song['id']}", **{kind: {"title": "Evening"}})
    assert answer.json() == {**DONE, "data": {"song": {**song, "title": "Evening"}}}
    assert client.show(song["id"])["title"] == "Evening"
    answer = client.call("PATCH", f"/songs/{song['id']}", **{kind: {}})
    assert (answer.status_code, texts_of(answer).keys()) == (400, {"title"})


def test_delete_answers_without_data(visit: Visit) -> None:
    client = visit("ann")
    song = client.upload(MP3)
    answer = client.delete(song["id"])
    assert (answer.status_code, answer.json()) == (200, DONE)
    assert client.list() == []
    assert client.get(f"/songs/{song['id']}").status_code == 404
    assert client.delete(song["id"]).status_code == 404


@pytest.mark.parametrize("song", ["0", "-1", "x", "1.5", "9" * 30, "999999", "%00"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_unknown_song_is_404(visit: Visit, method: str, song: str) -> None:
    answer = visit().call(method, f"/songs/{song}", json={"title": "x"})
    assert answer.status_code == 404
    assert texts_of(answer)


# Outages


def test_database_may_come_later(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "database"
    folder.write_text("a file in place of the folder")
    url = f"sqlite:///{folder / 'catalogue.db'}"
    client = SongsClient(service=start(DATABASE_URL=url))
    answer = client.get("/songs/")
    assert (answer.status_code, texts_of(answer).keys()) == (503, {"general"})
    assert client.service.send(MP3).status_code == 200
    folder.unlink()
    wait_until(lambda: client.get("/songs/").status_code == 200)
    assert prepare(url)


def test_songs_answer_503_without_redis(start: Start, database_url: str) -> None:
    client = SongsClient(service=start(DATABASE_URL=database_url, REDIS_PORT="1"))
    for answer in (client.login("ann"), client.send(MP3)):
        assert (answer.status_code, texts_of(answer).keys()) == (503, {"general"})
    assert client.get("/songs/").status_code == 200


def test_upload_without_the_store_leaves_nothing(start: Start, database_url: str) -> None:
    client = SongsClient(service=start(DATABASE_URL=database_url, STORE_DIR="", MINIO_HOST="127.0.0.1:1"))
    client.register("ann")
    answer = client.send(MP3)
    assert (answer.status_code, texts_of(answer).keys()) == (503, {"general"})
    assert client.list() == []
    assert client.service.queue.waiting() == []


class FullQueue(InMemoryQueue):
    """Has room for a song until its job is enqueued."""

    def enqueue(self, job: Job, **facts: Any) -> JobState:
        raise QueueFull("The queue is full.")


def test_upload_that_cannot_be_queued_leaves_no_song(database_url: str) -> None:
    store, catalogue = InMemoryStore(), open_catalogue(database_url)
    app = client_on(store=store, queue=FullQueue(), catalogue=catalogue)
    login = catalogue.accounts.register("ann", password="correct horse", repeated="correct horse")
    app.set_cookie("msaas", login.token)
    form = requests.Request("POST", "http://localhost", files={"file": ("song.mp3", MP3)}).prepare()
    assert isinstance(form.body, bytes)
    answer = app.post(
        "/songs/upload",
        data=form.body,
        content_type=form.headers["Content-Type"],
        environ_overrides={BODY: ReceivedBody(io.BytesIO(form.body))},
    )
    assert answer.status_code == 503
    assert app.get("/songs/").json == {**DONE, "data": {"songs": []}}
    assert list(SongStore(store).songs()) == []
    catalogue.close()


# Texts that have a second meaning


def test_number_in_another_form_is_not_found(visit: Visit) -> None:
    client = visit("ann")
    number = str(client.upload(MP3)["id"])
    wide = number.translate({ord("0") + digit: 0xFF10 + digit for digit in range(10)})
    shown = [client.get(f"/songs/{each}").status_code for each in (number, wide, f"0{number}", f"+{number}")]
    assert shown == [200, 404, 404, 404]


def test_search_with_nul_is_refused(visit: Visit) -> None:
    answer = visit().get("/songs/?search=a%00b")
    assert (answer.status_code, texts_of(answer).keys()) == (400, {"search"})


def test_json_with_a_field_twice_is_refused(visit: Visit) -> None:
    client = visit("ann")
    song = client.upload(MP3)
    body, headers = b'{"title": "a", "title": "b"}', {"Content-Type": "application/json"}
    answer = client.call("PATCH", f"/songs/{song['id']}", data=body, headers=headers)
    assert (answer.status_code, texts_of(answer).keys()) == (400, {"general"})
    assert client.show(song["id"]) == song
