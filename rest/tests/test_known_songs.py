"""Songs that the store has: a client asks for them by their hash, without an upload."""

import pytest
from rest.tests.conftest import Start
from rest.tests.service import FRAME, Service
from rest.tests.test_access import assert_problem, bearer
from rest.tests.test_scopes import ANN, BOB, KEYS, ROOT

from msaas.queue.abilities import Abilities
from msaas.recipe import Recipe
from msaas.songs import song_hash
from msaas_keeper.retention import Retention

MP3 = FRAME * 200
HASH = song_hash(MP3)


def head(service: Service, name: str = HASH, key: str = "") -> int:
    return service.call("HEAD", f"/apiv1/song/{name}", headers=bearer(key) if key else {}).status_code


def test_head_shows_whether_the_song_is_stored(service_on_each_store: Service) -> None:
    service = service_on_each_store
    assert head(service) == 404
    assert service.send(MP3).status_code == 200
    answer = service.call("HEAD", f"/apiv1/song/{HASH}")
    assert (answer.status_code, answer.headers["Content-Length"]) == (200, str(len(MP3)))
    assert head(service, HASH.upper()) == head(service, f"{HASH}.{'a' * 12}") == 200


def test_head_of_a_long_song_has_no_body(service: Service, song: bytes) -> None:
    service.send(song)
    answer = service.call("HEAD", f"/apiv1/song/{song_hash(song)}")
    assert (answer.headers["Content-Length"], answer.content) == (str(len(song)), b"")


@pytest.mark.parametrize("name", ["a", "a" * 63, "-", "a" * 200, "0b0b0b0b-1111-2222-3333-444444444444"])
def test_head_refuses_what_names_no_song(service: Service, name: str) -> None:
    assert head(service, name) == 400


def test_get_of_a_song_is_not_allowed(service: Service) -> None:
    answer = service.get(f"/apiv1/song/{HASH}")
    assert (answer.status_code, sorted(answer.headers["Allow"].split(", "))) == (405, ["HEAD", "OPTIONS"])


def test_retention_spares_a_song_that_a_client_found(service: Service) -> None:
    service.song_store.prepare()
    service.send(MP3)
    service.work()
    service.redis.flushall()
    retention = Retention(
        queue=service.queue,
        registry=service.registry,
        song_store=service.song_store,
        age_s=-60,
        spared=(),
    )
    sweep = retention.sweep
    assert head(service) == 200
    sweep()
    assert service.send_as_json({"hash": HASH, "model": "mdx"}).status_code == 200
    service.redis.flushall()
    sweep()
    assert head(service) == 404


@pytest.mark.parametrize(
    "body",
    [
        {"json": {"hash": HASH, "model": "mdx"}},
        {"json": {"songhash": HASH, "hash": HASH, "mp3": None, "model": "mdx"}},
        {"data": {"hash": HASH, "model": "mdx"}},
        {"files": {"hash": (None, HASH), "model": (None, "mdx")}},
        {"params": {"hash": HASH, "model": "mdx"}},
        {"params": {"songhash": HASH, "model": "mdx"}, "headers": {"Content-Type": "audio/mpeg"}},
        {"params": {"hash": HASH}, "json": {"model": "mdx"}},
        {"json": {"hash": f"{HASH.upper()}", "model": "mdx"}},
        {"json": {"hash": f"{HASH}.{'a' * 12}", "model": "mdx"}},
    ],
)
def test_hash_is_accepted_in_place_of_the_song(service: Service, body: dict[str, object]) -> None:
    service.send(MP3)
    service.work()
    answer = service.call("POST", "/apiv1/separate", **body)
    job_id = Recipe(model="mdx").job_id(HASH)
    assert (answer.status_code, answer.json()["hash"], answer.json()["songhash"]) == (200, job_id, job_id)
    assert service.work(model="mdx").job_id == job_id
    assert service.get(f"/apiv1/job/{job_id}").json()["state"] == "done"


def test_hash_of_a_finished_song_is_done_at_once(service: Service) -> None:
    service.send(MP3)
    service.work()
    callback = {"url": "http://localhost:1/done"}
    assert service.send_as_json({"hash": HASH, "callback": callback}).status_code == 200
    assert service.get(f"/apiv1/job/{HASH}").json()["state"] == "done"
    assert service.get("/apiv1/queue").json()["queue"] == []
    assert len(service.get(f"/apiv1/job/{HASH}/callbacks").json()["callbacks"]) == 1


def test_hash_of_an_absent_song_is_refused(service: Service, untouched_queue: None) -> None:
    answer = service.send_as_json({"hash": HASH})
    assert_problem(answer, 404, "song_missing")
    assert "Send its bytes" in answer.json()["detail"]


@pytest.fixture
def untouched_queue(service: Service) -> None:
    assert service.get("/apiv1/queue").json()["queue"] == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"json": {"hash": "abc"}}, "invalid_id"),
        ({"json": {"hash": 5}}, "malformed_request"),
        ({"json": {"hash": HASH, "songhash": "b" * 64}}, "malformed_request"),
        ({"json": {"hash": HASH, "mp3": "AAAA"}}, "malformed_request"),
        ({"json": {"hash": HASH, "url": "https://songs.example/a.mp3"}}, "malformed_request"),
        ({"json": {"hash": HASH}, "params": {"hash": HASH}}, "malformed_request"),
        ({"data": MP3, "params": {"hash": HASH}}, "malformed_request"),
        ({"files": {"mp3": MP3, "hash": (None, HASH)}}, "malformed_request"),
        ({"json": {}}, "missing_song"),
        ({"data": {"model": "mdx"}}, "missing_song"),
        ({"files": {"model": (None, "mdx")}}, "missing_song"),
        ({"params": {"hash": ""}}, "malformed_request"),
    ],
)
def test_request_names_one_song(service: Service, body: dict[str, object], code: str) -> None:
    service.send(MP3)
    headers = {"Content-Type": "audio/mpeg"} if body.get("data") is MP3 else {}
    assert_problem(service.call("POST", "/apiv1/separate", headers=headers, **body), 400, code)


def test_hash_of_a_song_without_a_decoder_is_refused(service: Service) -> None:
    songs = service.song_store
    songs.prepare()
    (service.settings.store_dir / songs.input_bucket / f"{HASH}.m4a").write_bytes(MP3)  # type: ignore[operator]
    service.queue.consumer("w1").announce(Abilities({"htdemucs": "htdemucs"}))
    assert_problem(service.send_as_json({"hash": HASH}), 415, "decoder_missing")
    service.send(MP3)
    assert_problem(service.send_as_json({"hash": HASH, "format": "m4a"}), 422, "format_unavailable")


def test_hash_alone_gives_no_access_to_the_song_of_another_key(shared: Start) -> None:
    service = shared(API_KEYS=KEYS, DEBUG_ENDPOINTS="1")
    assert service.send(MP3, headers=bearer(ANN)).status_code == 200
    assert [head(service, key=key) for key in (ANN, BOB, ROOT)] == [200, 404, 200]
    answer = service.send_as_json({"hash": HASH}, headers=bearer(BOB))
    assert_problem(answer, 404, "song_missing")
    absent = service.send_as_json({"hash": "b" * 64}, headers=bearer(BOB))
    assert answer.json()["detail"].replace(HASH, "b" * 64) == absent.json()["detail"]
    assert service.get(f"/apiv1/job/{HASH}", headers=bearer(BOB)).status_code == 404
    assert service.send_as_json({"hash": HASH}, headers=bearer(ANN)).status_code == 200
    service.send(MP3, headers=bearer(BOB))
    assert head(service, key=BOB) == 200
