"""`Idempotency-Key`: an equal request has one job, one callback and one reply."""

import threading
from typing import Any

import pytest
import requests
from rest.tests.conftest import Start
from rest.tests.service import FRAME, Service
from rest.tests.song_site import SongSite, file
from rest.tests.test_access import assert_problem, bearer

from msaas.errors import InvalidIdempotencyKey
from msaas.songs import song_hash
from msaas_rest.api.separate.idempotency_key import parse_idempotency_key
from tests.servers import wait_until

MP3 = FRAME * 200
OTHER_MP3 = FRAME * 300
HASH = song_hash(MP3)
KEY = {"Idempotency-Key": "8e03978e-40d5-43e8-bc93-6894a57f9324"}
CALLBACK = {"callback": '{"url": "http://localhost:1/done"}'}


@pytest.mark.parametrize("text", ["a", "a" * 255, '"8e03978e-40d5"', " a ", "a:b/c=="])
def test_key_is_read(text: str) -> None:
    assert parse_idempotency_key(text) == text.strip().strip('"')
    assert parse_idempotency_key(None) is None


@pytest.mark.parametrize("text", ["", " ", "a" * 256, '"', '""', '"a', "a b", "a,b", "ä", "a\\b", "\x7f"])
def test_malformed_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidIdempotencyKey):
        parse_idempotency_key(text)


def test_malformed_key_is_refused_before_the_upload(service: Service) -> None:
    assert_problem(service.send(MP3, headers={"Idempotency-Key": "a b"}), 400, "invalid_idempotency_key")


def callbacks(service: Service) -> int:
    return len(service.get(f"/apiv1/job/{HASH}/callbacks").json()["callbacks"])


def test_equal_requests_have_one_reply_and_one_callback(service: Service) -> None:
    answers = [service.send(MP3, params=CALLBACK, headers=KEY) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert answers[0].json() == answers[1].json() == answers[2].json()
    assert [answer.headers.get("Idempotent-Replayed") for answer in answers] == [None, "true", "true"]
    assert callbacks(service) == 1
    assert len({answer.headers["X-Request-ID"] for answer in answers}) == 3


def test_requests_without_a_key_have_a_reply_and_a_callback_each(service: Service) -> None:
    replies = [service.send(MP3, params=CALLBACK).json()["request_id"] for _ in range(2)]
    assert (len(set(replies)), callbacks(service)) == (2, 2)


def test_reply_outlives_its_job(service: Service) -> None:
    first = service.send(MP3, headers=KEY).json()
    service.work()
    assert service.send(MP3, headers=KEY).json() == first
    assert service.get(f"/apiv1/job/{HASH}").json()["state"] == "done"


def test_form_of_the_body_makes_no_difference(service: Service) -> None:
    first = service.send(MP3, query="?model=mdx", headers=KEY).json()
    second = service.send_as_form({"mp3": MP3}, data={"model": "mdx"}, headers=KEY)
    third = service.send_as_json({"hash": HASH, "model": "mdx"}, headers=KEY)
    assert second.json() == third.json() == first


@pytest.mark.parametrize(
    ("mp3", "params"), [(OTHER_MP3, {}), (MP3, {"model": "mdx"}), (MP3, CALLBACK), (MP3, {"shifts": "1"})]
)
def test_key_of_another_request_is_refused(service: Service, mp3: bytes, params: dict[str, str]) -> None:
    service.send(MP3, headers=KEY)
    assert_problem(service.send(mp3, params=params, headers=KEY), 422, "idempotency_key_reused")


def test_keys_of_two_callers_are_different(shared: Start) -> None:
    keys = "a" * 32, "b" * 32
    service = shared(API_KEYS=",".join(keys), DEBUG_ENDPOINTS="1")
    for key, mp3 in zip(keys, (MP3, OTHER_MP3), strict=True):
        assert service.send(mp3, headers={**KEY, **bearer(key)}).status_code == 200


def test_failed_request_releases_its_key(service: Service) -> None:
    assert_problem(service.send_as_json({"hash": HASH}, headers=KEY), 404, "song_missing")
    assert service.send(OTHER_MP3, headers=KEY).status_code == 200


def test_second_request_is_refused_while_the_first_is_in_progress(shared: Start) -> None:
    service = shared(FETCH_ALLOW_PRIVATE="127.0.0.0/8", DEBUG_ENDPOINTS="1")
    may_go_on = threading.Event()

    def wait_and_send(request: Any) -> None:
        may_go_on.wait(20)
        file(MP3)(request)

    with SongSite({"/a.mp3": wait_and_send}) as site:
        body = {"url": site.url("/a.mp3")}
        answers: list[requests.Response] = []
        first = threading.Thread(target=lambda: answers.append(service.send_as_json(body, headers=KEY)))
        first.start()
        wait_until(lambda: site.requested)
        assert_problem(service.send_as_json(body, headers=KEY), 409, "request_in_progress")
        may_go_on.set()
        first.join(20)
        assert answers[0].status_code == 200
        assert service.send_as_json(body, headers=KEY).json() == answers[0].json()
        assert len(site.requested) == 1


def test_many_equal_requests_at_once_have_one_reply(service: Service) -> None:
    answers: list[requests.Response] = []

    def send() -> None:
        answers.append(service.send(MP3, params=CALLBACK, headers=KEY))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} <= {200, 409}
    replies = {answer.json()["request_id"] for answer in answers if answer.ok}
    assert len(replies) == 1
    assert callbacks(service) == 1


def test_key_is_kept_for_a_day(service: Service) -> None:
    service.send(MP3, headers=KEY)
    (record,) = service.redis.keys(f"toWorkers:idempotent:{'?' * 64}")
    assert 86_000 < service.redis.ttl(record) <= 86_400
    assert KEY["Idempotency-Key"].encode() not in record


def test_earlier_reply_needs_no_room_in_the_queue(shared: Start) -> None:
    service = shared(MAX_QUEUED="1")
    first = service.send(MP3, headers=KEY)
    assert service.send(MP3 + b"more", headers={"Idempotency-Key": "another"}).status_code == 503
    again = service.send(MP3, headers=KEY)
    assert (again.status_code, again.json()) == (200, first.json())
