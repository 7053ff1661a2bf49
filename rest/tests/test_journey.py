"""The client in use sends songs and fetches stems, through a real gunicorn, a real Redis and real stores."""

import base64
from typing import Any

import jsonpickle
import pytest
import requests
from rest.tests.conftest import Start
from rest.tests.service import Service

from msaas.songs import song_hash

CALLBACK = {"url": "http://localhost:5000", "data": {"mp3": "engine-room.mp3", "data": "to be returned"}}


def call_as_the_client_does(service: Service, method: str, path: str, data: Any) -> Any:
    """Only 200 counts."""
    response = requests.request(
        method,
        f"{service.url}/{path}",
        data=jsonpickle.encode(data, keys=True),
        headers={"Content-Type": "application/json"},
        timeout=20,
    )
    assert response.status_code == 200, response.text
    return response.json()


def test_the_client_in_use_gets_its_stems(service_on_each_store: Service, song: bytes) -> None:
    service, songhash = service_on_each_store, song_hash(song)
    request = {"mp3": base64.b64encode(song).decode("ascii"), "callback": CALLBACK}

    reply = call_as_the_client_does(service, "post", "apiv1/separate", request)
    assert reply["hash"] == reply["songhash"] == songhash
    assert call_as_the_client_does(service, "get", "apiv1/queue", None) == {"queue": [songhash]}
    assert call_as_the_client_does(service, "get", "apiv1/queue/", None) == {"queue": [songhash]}
    assert b"".join(service.tracks.song(songhash)) == song
    assert service.get(f"/apiv1/track/{songhash}/vocals.mp3").status_code == 404

    service.work()
    assert service.get("/apiv1/queue").json() == {"queue": []}
    status = service.get(f"/apiv1/job/{songhash}").json()
    assert (status["state"], status["progress"], status["model"]) == ("done", 1.0, "htdemucs")
    for stem in status["stems"]:
        assert service.get(f"/apiv1/track/{songhash}/{stem}.mp3").content == service.stem_bytes(stem)
    delivery = service.outbox.due(visibility_s=60)
    assert delivery is not None
    assert (delivery.url, delivery.job_id) == (CALLBACK["url"], songhash)


@pytest.mark.parametrize("form", ["{id}/{part}", "{id}-{part}"])
@pytest.mark.parametrize(
    ("part", "stem"), [("bass.mp3", "bass"), ("base.mp3", "bass"), ("vocals", "vocals"), ("base", "bass")]
)
@pytest.mark.parametrize(
    "job_id", ["a" * 64, "0b0e2f2e-6d3c-4a6e-9a63-0f5b7e1c2d3e", "b" * 64 + ".0123456789ab"]
)
def test_every_form_of_a_track_is_served(
    service: Service, form: str, part: str, stem: str, job_id: str
) -> None:
    service.store_stems(job_id)
    answer = service.get("/apiv1/track/" + form.format(id=job_id, part=part))
    assert answer.status_code == 200
    assert answer.content == service.stem_bytes(stem)
    assert answer.headers["Content-Type"] == "audio/mpeg"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{job_id}-{stem}.mp3"'
    assert int(answer.headers["Content-Length"]) == len(service.stem_bytes(stem))


def test_a_player_may_ask_for_a_part_of_a_track(service: Service) -> None:
    service.store_stems("a" * 64)
    answer = service.get(f"/apiv1/track/{'a' * 64}/drums.mp3", headers={"Range": "bytes=4-8"})
    assert (answer.status_code, answer.content) == (206, b"drums")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("form", ["{id}/bass.mp3", "{id}-bass.mp3"])
def test_a_removed_stem_is_made_again(service: Service, song: bytes, method: str, form: str) -> None:
    songhash = service.send(song).json()["hash"]
    service.work()
    assert service.call(method, "/apiv1/remove/" + form.format(id=songhash)).status_code == 200
    assert service.get(f"/apiv1/track/{songhash}/bass").status_code == 404
    assert service.get(f"/apiv1/track/{songhash}/drums").status_code == 200
    assert service.call(method, "/apiv1/remove/" + form.format(id=songhash)).status_code == 404

    assert service.send(song).status_code == 200
    assert service.queue.waiting() == [songhash]
    service.work()
    assert service.get(f"/apiv1/track/{songhash}/bass").status_code == 200


def test_asking_for_the_head_of_a_removal_removes_nothing(service: Service) -> None:
    service.store_stems("a" * 64)
    assert service.call("HEAD", f"/apiv1/remove/{'a' * 64}/bass").status_code == 405
    assert service.get(f"/apiv1/track/{'a' * 64}/bass").status_code == 200


def test_the_same_song_twice_is_one_piece_of_work(service: Service, song: bytes) -> None:
    first, second = service.send(song), service.send(song)
    assert first.json() == second.json()
    assert service.queue.waiting() == [song_hash(song)]


def test_a_song_that_is_done_is_not_done_again_and_its_callback_goes_at_once(
    service: Service, song: bytes
) -> None:
    service.send(song)
    service.work()
    again = service.call(
        "POST", "/apiv1/separate", files={"mp3": song}, data={"callback": '{"url": "http://r/"}'}
    )
    assert again.status_code == 200
    assert service.queue.waiting() == []
    delivery = service.outbox.due(visibility_s=60)
    assert delivery is not None
    assert delivery.url == "http://r/"


def test_what_a_fallback_made_is_no_result(service: Service, song: bytes) -> None:
    service.send(song)
    service.work(model="starter")
    service.send(song)
    assert service.queue.waiting() == [song_hash(song)]


def test_another_model_is_another_piece_of_work(service: Service, song: bytes) -> None:
    songhash = song_hash(song)
    default = service.send(song, query="?model=htdemucs").json()["hash"]
    other = service.send(song, query="?model=mdx_extra").json()["hash"]
    assert default == songhash
    assert other.startswith(f"{songhash}.")
    assert service.queue.waiting() == [songhash, other]
    assert service.get("/apiv1/bucket").json()["buckets"]["input-tracks"] == [f"{songhash}.mp3"]
    service.work()
    assert service.work(model="mdx_extra").model == "mdx_extra"
    assert service.get(f"/apiv1/track/{other}-base.mp3").status_code == 200


@pytest.mark.parametrize("field", ["mp3", "file"])
def test_a_song_may_come_in_a_form(service: Service, song: bytes, field: str) -> None:
    answer = service.call("POST", "/apiv1/separate", files={field: song}, data={"model": "mdx"})
    assert answer.json()["hash"].startswith(song_hash(song) + ".")


def test_a_song_may_come_in_chunks(service: Service, song: bytes) -> None:
    pieces = (song[start : start + 10_000] for start in range(0, len(song), 10_000))
    answer = service.call("POST", "/apiv1/separate", data=pieces, headers={"Content-Type": "audio/mpeg"})
    assert answer.json()["hash"] == song_hash(song)


def test_lines_of_base64_may_be_broken(service: Service, song: bytes) -> None:
    text = base64.encodebytes(song).decode().replace("\n", "\r\n")
    assert service.call("POST", "/apiv1/separate", json={"mp3": text}).json()["hash"] == song_hash(song)


def test_when_the_state_is_forgotten_the_manifest_answers(service: Service) -> None:
    service.store_stems("a" * 64)
    status = service.get(f"/apiv1/job/{'a' * 64}").json()
    assert (status["state"], status["progress"]) == ("done", 1.0)
    assert set(status["stems"]) == {"drums", "bass", "other", "vocals"}


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_both_buckets_are_emptied(service_on_each_store: Service, song: bytes, method: str) -> None:
    service = service_on_each_store
    assert service.get("/apiv1/bucket").json() == {"buckets": {"input-tracks": [], "output-tracks": []}}
    service.send(song)
    service.work()
    assert service.call(method, "/apiv1/delete_contents").status_code == 200
    assert service.get("/apiv1/bucket").json() == {"buckets": {"input-tracks": [], "output-tracks": []}}


def test_debug_calls_exist_only_where_asked_for(start: Start) -> None:
    service = start()
    for path in ("/apiv1/bucket", "/apiv1/delete_contents"):
        assert service.get(path).status_code == 404


def test_a_bucket_that_is_missing_is_made(service: Service, song: bytes) -> None:
    store = service.settings.store_dir
    assert store is not None
    assert list(store.iterdir()) == []
    assert service.send(song).status_code == 200
    assert (store / "input-tracks").is_dir()
