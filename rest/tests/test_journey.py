"""The client in use sends songs and fetches stems, through a real gunicorn, a real Redis and real stores."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonpickle
import pytest
import requests
from rest.tests.in_memory import client_on, send
from rest.tests.service import FRAME, Service, stem_bytes

from msaas.queue.abilities import Abilities
from msaas.songs import song_hash

CALLBACK = {"url": "http://localhost:5000", "data": {"mp3": "engine-room.mp3", "data": "to be returned"}}


def call_as_the_client_does(service: Service, method: str, path: str, data: Any) -> Any:
    """To this client only 200 is a success."""
    response = requests.request(
        method,
        f"{service.url}/{path}",
        data=jsonpickle.encode(data, keys=True),
        headers={"Content-Type": "application/json"},
        timeout=20,
    )
    assert response.status_code == 200, response.text
    return response.json()


def test_client_in_use_gets_its_stems(service_on_each_store: Service, song: bytes) -> None:
    service, job_id = service_on_each_store, song_hash(song)
    request = {"mp3": base64.b64encode(song).decode("ascii"), "callback": CALLBACK}

    reply = call_as_the_client_does(service, "post", "apiv1/separate", request)
    assert reply["hash"] == reply["songhash"] == job_id
    assert call_as_the_client_does(service, "get", "apiv1/queue", None) == {"queue": [job_id]}
    assert call_as_the_client_does(service, "get", "apiv1/queue/", None) == {"queue": [job_id]}
    assert b"".join(service.song_store.song(job_id)) == song
    assert service.get(f"/apiv1/track/{job_id}/vocals.mp3").status_code == 404

    service.work()
    assert service.get("/apiv1/queue").json() == {"queue": []}
    status = service.get(f"/apiv1/job/{job_id}").json()
    assert (status["state"], status["progress"], status["model"]) == ("done", 1.0, "htdemucs")
    for stem in status["stems"]:
        assert service.get(f"/apiv1/track/{job_id}/{stem}.mp3").content == stem_bytes(stem)
    delivery = service.outbox.receive(visibility_s=60)
    assert delivery is not None
    assert (delivery.url, delivery.job_id) == (CALLBACK["url"], job_id)


# Songs


def test_same_song_twice_is_one_job(service: Service, song: bytes) -> None:
    first, second = service.send(song), service.send(song)
    assert first.json()["songhash"] == second.json()["songhash"]
    assert first.json()["request_id"] != second.json()["request_id"]
    assert service.queue.waiting() == [song_hash(song)]


def test_finished_song_is_not_done_again_and_its_callback_is_due(service: Service, song: bytes) -> None:
    service.send(song)
    service.work()
    answer = service.send_as_form({"mp3": song}, data={"callback": '{"url": "http://r/"}'})
    assert answer.status_code == 200
    assert service.queue.waiting() == []
    delivery = service.outbox.receive(visibility_s=60)
    assert delivery is not None
    assert delivery.url == "http://r/"


def test_result_of_a_fallback_is_made_again_once_the_model_runs(service: Service, song: bytes) -> None:
    job_id = service.send(song).json()["hash"]
    service.work(model="starter")
    service.queue.consumer("w1").announce(Abilities({"htdemucs": "starter"}))
    before = service.get(f"/apiv1/job/{job_id}").json()
    service.send(song)
    assert service.queue.waiting() == []
    assert service.get(f"/apiv1/job/{job_id}").json() == before
    assert (before["state"], before["device"], before["model"]) == ("done", "cpu", "starter")
    service.queue.consumer("w1").announce(Abilities({"htdemucs": "htdemucs"}))
    service.send(song)
    assert service.queue.waiting() == [job_id]


def test_other_model_is_another_job(service: Service, song: bytes) -> None:
    job_id = song_hash(song)
    default = service.send(song, query="?model=htdemucs").json()["hash"]
    other = service.send(song, query="?model=mdx_extra").json()["hash"]
    assert default == job_id
    assert other.startswith(f"{job_id}.")
    assert service.queue.waiting() == [job_id, other]
    assert service.get("/apiv1/bucket").json()["buckets"]["input-tracks"] == [f"{job_id}.mp3"]
    service.work()
    assert service.work(model="mdx_extra").options == {"model": "mdx_extra"}
    assert service.get(f"/apiv1/track/{other}-base.mp3").status_code == 200


@pytest.mark.parametrize(("alias", "model"), [("mdx_extra_q", "mdx_extra"), ("mdx_q", "mdx")])
def test_alias_of_a_model_is_the_job_of_that_model(service: Service, alias: str, model: str) -> None:
    song = FRAME * 100
    expected = service.send(song, query=f"?model={model}").json()["hash"]
    text = base64.b64encode(song).decode()
    for answer in (
        service.send(song, query=f"?model={alias}"),
        service.send_as_json({"mp3": text, "model": alias}),
        service.send_as_form({"mp3": song}, data={"model": alias}),
    ):
        assert answer.status_code == 200, answer.text
        assert answer.json()["hash"] == expected
    assert service.queue.waiting() == [expected]
    assert service.work(model=model).options == {"model": model}
    assert service.get(f"/apiv1/job/{expected}").json()["model"] == model


@pytest.mark.parametrize(("alias", "model"), [("mdx_extra_q", "mdx_extra"), ("mdx_q", "mdx")])
def test_alias_can_be_the_default_model(alias: str, model: str) -> None:
    client, song = client_on(demucs_model=alias), FRAME * 100
    assert client.get("/apiv1/models").json["default"] == model  # type: ignore[index]
    for name in (alias, model):
        assert send(client, song, query=f"?model={name}").json["hash"] == song_hash(song)  # type: ignore[index]


@pytest.mark.parametrize("field", ["mp3", "file"])
def test_song_can_come_in_a_form(service: Service, song: bytes, field: str) -> None:
    answer = service.send_as_form({field: song}, data={"model": "mdx"})
    assert answer.json()["hash"].startswith(song_hash(song) + ".")


@pytest.mark.parametrize("field", ["mp3", "file"])
def test_song_can_come_as_base64(service: Service, song: bytes, field: str) -> None:
    answer = service.send_as_json({field: base64.b64encode(song).decode()})
    assert answer.json()["hash"] == song_hash(song)


def test_options_can_stand_in_the_query_of_every_form(service: Service) -> None:
    song = FRAME * 100
    text = base64.b64encode(song).decode()
    query = {"model": "mdx", "format": "mp3", "callback": '{"url": "http://r/"}'}
    answers = [
        service.send_as_json({"mp3": text}, params=query),
        service.send_as_form({"mp3": song}, params=query),
        service.send(song, params=query),
    ]
    (job_id,) = {answer.json()["hash"] for answer in answers}
    assert job_id.startswith(f"{song_hash(song)}.")
    assert [each.url for each in service.outbox.deliveries(job_id)] == ["http://r/"] * 3


def test_song_can_come_in_chunks(service: Service, song: bytes) -> None:
    def chunks() -> Iterator[bytes]:
        for start in range(0, len(song), 10_000):
            yield song[start : start + 10_000]

    answer = service.call("POST", "/apiv1/separate", data=chunks(), headers={"Content-Type": "audio/mpeg"})
    assert answer.json()["hash"] == song_hash(song)


def test_base64_can_have_line_breaks(service: Service, song: bytes) -> None:
    text = base64.encodebytes(song).decode().replace("\n", "\r\n")
    assert service.send_as_json({"mp3": text}).json()["hash"] == song_hash(song)


def test_missing_bucket_is_created(service: Service, song: bytes) -> None:
    store = service.settings.store_dir
    assert store is not None
    assert list(store.iterdir()) == []
    assert service.send(song).status_code == 200
    assert (store / "input-tracks").is_dir()


# Status and debug calls


def test_manifest_answers_when_the_status_has_expired(service: Service) -> None:
    service.store_stems("a" * 64)
    status = service.get(f"/apiv1/job/{'a' * 64}").json()
    assert (status["state"], status["progress"]) == ("done", 1.0)
    assert set(status["stems"]) == {"drums", "bass", "other", "vocals"}


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_delete_contents_empties_both_buckets(
    service_on_each_store: Service, song: bytes, method: str
) -> None:
    service = service_on_each_store
    empty = {"buckets": {"input-tracks": [], "output-tracks": []}}
    assert service.get("/apiv1/bucket").json() == empty
    service.send(song)
    service.work()
    assert service.call(method, "/apiv1/delete_contents").status_code == 200
    assert service.get("/apiv1/bucket").json() == empty


def test_debug_calls_exist_only_with_their_setting() -> None:
    client = client_on()
    for path in ("/apiv1/bucket", "/apiv1/delete_contents"):
        assert client.get(path).status_code == 404


def test_names_of_the_buckets_are_settings(song: bytes, tmp_path: Path) -> None:
    names = {"minio_input_bucket": "queue", "minio_output_bucket": "output"}
    client = client_on(store_dir=tmp_path, debug_endpoints=True, **names)
    assert send(client, song).status_code == 200
    buckets = client.get("/apiv1/bucket").json["buckets"]  # type: ignore[index]
    assert buckets == {"queue": [f"{song_hash(song)}.mp3"], "output": []}
