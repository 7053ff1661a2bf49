"""A client sees how its callbacks fare and may have one sent again; nobody sees another's passwords."""

import json
import re

import pytest
from rest.tests.service import FRAME, Service

from msaas.errors import CallbackNotFound, InvalidCallback
from msaas.jobs import Callback
from msaas.queue import Delivery
from msaas.songs import song_hash
from msaas.testing import InMemoryOutbox
from msaas_rest.callbacks.use_case import redeliver, shown
from msaas_rest.separation.options import parse_callback

MP3 = FRAME * 100
SONG = song_hash(MP3)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PASSWORDS = ("user-7a", "word-9b", "path-3c", "query-1d", "fragment-4e", SECRET, "of-the-data-5f")
URL = "http://user-7a:word-9b@receiver.example:8080/path-3c?query-1d#fragment-4e"


@pytest.fixture
def path(service: Service) -> str:
    """Of the callbacks of a song that is done and whose callback was given up."""
    callback = {"url": URL, "data": {"password": "of-the-data-5f"}, "secret": SECRET}
    assert service.call(
        "POST", "/apiv1/separate", files={"mp3": MP3}, data={"callback": json.dumps(callback)}
    ).ok
    service.work()
    delivery = service.outbox.due(visibility_s=60)
    assert delivery is not None
    assert delivery.secret == SECRET
    service.outbox.settle(delivery, state="dead", detail="HTTP 500")
    return f"/apiv1/job/{SONG}/callbacks"


def test_the_state_is_told_and_no_password(service: Service, path: str) -> None:
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


def test_a_dead_callback_is_sent_once_more_when_asked(service: Service, path: str) -> None:
    (callback,) = service.get(path).json()["callbacks"]
    answer = service.call("POST", f"{path}/{callback['id']}/redeliver")
    assert (answer.status_code, answer.json()["state"]) == (200, "pending")
    assert answer.json()["next_attempt_at"]
    due = service.outbox.due(visibility_s=60)
    assert due is not None
    assert (due.id, due.url, due.secret) == (callback["id"], URL, SECRET)


def test_a_callback_of_another_job_is_not_found(service: Service, path: str) -> None:
    (callback,) = service.get(path).json()["callbacks"]
    other = path.replace(SONG, "b" * 64)
    assert service.call("POST", f"{other}/{callback['id']}/redeliver").status_code == 404
    assert service.outbox.due(visibility_s=60) is None


def test_a_callback_whose_job_goes_on_is_not_sent(service: Service) -> None:
    callback = json.dumps({"url": URL})
    service.call("POST", "/apiv1/separate", files={"mp3": MP3}, data={"callback": callback})
    path = f"/apiv1/job/{SONG}/callbacks"
    (waiting,) = service.get(path).json()["callbacks"]
    answer = service.call("POST", f"{path}/{waiting['id']}/redeliver")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:msaas:error:callback_not_ready")


def test_a_job_without_callbacks_has_none_and_an_unknown_job_is_404(service: Service) -> None:
    service.send(MP3)
    assert service.get(f"/apiv1/job/{SONG}/callbacks").json() == {"callbacks": []}
    assert service.get(f"/apiv1/job/{'c' * 64}/callbacks").status_code == 404


def test_another_sites_page_redelivers_nothing(service: Service, path: str) -> None:
    (callback,) = service.get(path).json()["callbacks"]
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert service.call("POST", f"{path}/{callback['id']}/redeliver", headers=headers).status_code == 403


@pytest.mark.parametrize(
    "delivery_id",
    ["", "msg_", "msg_" + "0" * 23, "msg_" + "G" * 24, "msg_" + "0" * 24 + "\n", "*", "../job:a"],
)
def test_what_is_no_id_of_a_callback_reaches_no_store(delivery_id: str) -> None:
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
        ("mailto:somebody", None),
    ],
)
def test_of_a_url_only_the_origin_is_shown(url: str, destination: str | None) -> None:
    delivery = Delivery("msg_", SONG, url=url, body=b"", state="dead", attempts=1)
    assert shown(delivery)["destination"] == destination


@pytest.mark.parametrize("secret", [7, ["a"], "short", "c2hvcnQ=", "?" * 32])
def test_a_secret_that_cannot_sign_is_refused_and_not_repeated(secret: object) -> None:
    with pytest.raises(InvalidCallback) as refused:
        parse_callback({"url": "http://r/", "secret": secret})
    assert "short" not in str(refused.value)


def test_a_callback_may_bring_a_secret() -> None:
    assert parse_callback({"url": "http://r/", "secret": SECRET}) == Callback("http://r/", None, SECRET)
    assert parse_callback({"url": "http://r/", "secret": None}) == Callback("http://r/")
