"""Callbacks: the field of a request, and the delivery states that a client can read."""

import base64
import json
import re
from typing import Any

import pytest
import requests
from rest.tests.service import FRAME, Service

from msaas.errors import CallbackNotFound, InvalidCallback
from msaas.jobs import Callback
from msaas.queue.memory import InMemoryOutbox
from msaas.queue.outbox import Delivery
from msaas.songs import song_hash
from msaas_rest.api.jobs.callbacks import describe_delivery, redeliver
from msaas_rest.api.separate.callback import parse_callback

MP3 = FRAME * 100
SONG = song_hash(MP3)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PASSWORDS = ("user-7a", "word-9b", "path-3c", "query-1d", "fragment-4e", SECRET, "of-the-data-5f")
URL = "http://user-7a:word-9b@receiver.example:8080/path-3c?query-1d#fragment-4e"


def send(service: Service, callback: Any) -> requests.Response:
    return service.send_as_form({"mp3": MP3}, data={"callback": json.dumps(callback)})


# The field


def test_callback_keeps_its_data() -> None:
    data = {"nested": [1, None, "é"]}
    url = "http://localhost:5000"
    assert parse_callback({"url": url, "data": data}) == Callback(url, data)
    assert parse_callback({"url": "gopher://anywhere"}) == Callback("gopher://anywhere", None)


EMPTY: list[Any] = [
    None,
    "",
    {},
    {"url": ""},
    {"url": None},
    {"url": "  "},
    {"url": "", "data": {"mine": 1}},
    {"url": None, "secret": ""},
]


@pytest.mark.parametrize("value", EMPTY)
def test_empty_callback_is_none(value: Any) -> None:
    assert parse_callback(value) is None


@pytest.mark.parametrize("value", EMPTY)
def test_song_with_an_empty_callback_is_accepted_in_every_form(service: Service, value: Any) -> None:
    text = "" if value == "" else json.dumps(value)
    for answer in (
        service.send_as_json({"mp3": base64.b64encode(MP3).decode(), "callback": value}),
        service.send_as_form({"mp3": MP3}, data={"callback": text}),
        service.call(
            "POST",
            "/apiv1/separate",
            params={"callback": text},
            data=MP3,
            headers={"Content-Type": "audio/mpeg"},
        ),
    ):
        assert answer.status_code == 200, answer.text
    assert service.queue.waiting() == [SONG]
    assert service.outbox.deliveries(SONG) == []


@pytest.mark.parametrize(
    "value", ["http://x/", " ", 0, 7, False, [], {"data": 1}, {"url": 0}, {"url": False}, {"url": []}]
)
def test_callback_without_a_text_as_url_is_refused(value: Any) -> None:
    with pytest.raises(InvalidCallback, match="Field `callback"):
        parse_callback(value)


@pytest.mark.parametrize("secret", [7, ["a"], "short", "c2hvcnQ=", "?" * 32])
def test_secret_that_cannot_sign_is_refused_and_not_repeated(secret: object) -> None:
    with pytest.raises(InvalidCallback) as refused:
        parse_callback({"url": "http://r/", "secret": secret})
    assert "short" not in str(refused.value)


def test_callback_may_have_a_secret() -> None:
    assert parse_callback({"url": "http://r/", "secret": SECRET}) == Callback("http://r/", None, SECRET)
    assert parse_callback({"url": "http://r/", "secret": None}) == Callback("http://r/")


# Delivery states


@pytest.fixture
def path(service: Service) -> str:
    """The path of the callbacks of a finished song, of which one ran out of attempts."""
    assert send(service, {"url": URL, "data": {"password": "of-the-data-5f"}, "secret": SECRET}).ok
    service.work()
    delivery = service.outbox.receive(visibility_s=60)
    assert delivery is not None
    assert delivery.secret == SECRET
    service.outbox.complete(delivery, state="dead", detail="HTTP 500")
    return f"/apiv1/job/{SONG}/callbacks"


def test_state_is_shown_without_passwords(service: Service, path: str) -> None:
    answer = service.get(path)
    (callback,) = answer.json()["callbacks"]
    assert re.fullmatch(r"msg_[0-9a-f]{24}", callback.pop("id"))
    assert callback == {
        "destination": "http://receiver.example:8080",
        "state": "dead",
        "attempts": 1,
        "detail": "HTTP 500",
        "next_attempt_at": None,
    }
    assert [word for word in PASSWORDS if word in answer.text + service.log.read_text()] == []


def test_dead_callback_is_sent_again_on_request(service: Service, path: str) -> None:
    (callback,) = service.get(path).json()["callbacks"]
    answer = service.call("POST", f"{path}/{callback['id']}/redeliver")
    assert (answer.status_code, answer.json()["state"]) == (200, "pending")
    assert answer.json()["next_attempt_at"]
    delivery = service.outbox.receive(visibility_s=60)
    assert delivery is not None
    assert (delivery.id, delivery.url, delivery.secret) == (callback["id"], URL, SECRET)


def test_callback_of_another_job_is_not_found(service: Service, path: str) -> None:
    (callback,) = service.get(path).json()["callbacks"]
    other = path.replace(SONG, "b" * 64)
    assert service.call("POST", f"{other}/{callback['id']}/redeliver").status_code == 404
    assert service.outbox.receive(visibility_s=60) is None


def test_callback_of_an_unfinished_job_is_not_sent(service: Service) -> None:
    send(service, {"url": URL})
    path = f"/apiv1/job/{SONG}/callbacks"
    (waiting,) = service.get(path).json()["callbacks"]
    answer = service.call("POST", f"{path}/{waiting['id']}/redeliver")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:msaas:error:callback_not_ready")


def test_job_without_callbacks_has_an_empty_list_and_unknown_job_is_404(service: Service) -> None:
    service.send(MP3)
    assert service.get(f"/apiv1/job/{SONG}/callbacks").json() == {"callbacks": []}
    assert service.get(f"/apiv1/job/{'c' * 64}/callbacks").status_code == 404


def test_page_of_another_site_cannot_redeliver(service: Service, path: str) -> None:
    (callback,) = service.get(path).json()["callbacks"]
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert service.call("POST", f"{path}/{callback['id']}/redeliver", headers=headers).status_code == 403


@pytest.mark.parametrize(
    "delivery_id",
    ["", "msg_", "msg_" + "0" * 23, "msg_" + "G" * 24, "msg_" + "0" * 24 + "\n", "*", "../job:a"],
)
def test_invalid_delivery_id_does_not_reach_the_outbox(delivery_id: str) -> None:
    outbox = InMemoryOutbox()
    outbox.away = True
    with pytest.raises(CallbackNotFound):
        redeliver(delivery_id, job_id=SONG, outbox=outbox)


@pytest.mark.parametrize(
    ("url", "destination"),
    [
        ("http://localhost:5000", "http://localhost:5000"),
        ("https://a@b@[::1]:8443/x", "https://[::1]:8443"),
        ("http://there:port/", None),
        ("http://[broken", None),
        ("nonsense", None),
        ("mailto:a@b", None),
    ],
)
def test_only_the_origin_of_a_url_is_shown(url: str, destination: str | None) -> None:
    delivery = Delivery(id="msg_", job_id=SONG, url=url, body=b"", state="dead", attempts=1)
    assert describe_delivery(delivery)["destination"] == destination
