"""`DELETE /apiv1/job/<id>` over HTTP."""

from rest.tests.conftest import Start
from rest.tests.service import Service
from rest.tests.test_access import KEY, OTHER_KEY, bearer

from msaas.songs import song_hash

CALLBACK = {"url": "http://receiver.example/"}


def send(service: Service, mp3: bytes, key: str = "") -> dict[str, str]:
    answer = service.send(mp3, headers=bearer(key) if key else {})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_waiting_song_is_cancelled(service: Service, song: bytes) -> None:
    sent = send(service, song)
    answer = service.call("DELETE", f"/apiv1/job/{sent['songhash']}")
    assert answer.status_code == 200
    assert answer.json() == {
        "hash": sent["songhash"],
        "songhash": sent["songhash"],
        "state": "cancelled",
        "requests": 0,
        "reason": "Job cancelled",
    }
    status = service.get(f"/apiv1/job/{sent['songhash']}").json()
    assert (status["state"], status["error"], status["position"]) == ("cancelled", None, None)
    assert service.get("/apiv1/queue").json() == {"queue": []}
    assert service.call("DELETE", f"/apiv1/job/{sent['songhash']}").status_code == 200


def test_request_id_cancels_one_of_two_requests(service: Service, song: bytes) -> None:
    first, second = send(service, song), send(service, song)
    path = f"/apiv1/job/{first['songhash']}"
    answer = service.call("DELETE", path, params={"request_id": second["request_id"]})
    assert (answer.json()["state"], answer.json()["requests"]) == ("queued", 1)
    assert answer.json()["reason"] == "Request cancelled. The job goes on for 1 other request"
    answer = service.call("DELETE", path, params={"request_id": first["request_id"]})
    assert answer.json()["state"] == "cancelled"


def test_keys_cancel_their_own_requests(shared: Start, song: bytes) -> None:
    service = shared(API_KEYS=f"{KEY},{OTHER_KEY}")
    for key in (KEY, OTHER_KEY):
        send(service, song, key)
    path = f"/apiv1/job/{song_hash(song)}"
    answer = service.call("DELETE", path, headers=bearer(KEY))
    assert (answer.json()["state"], answer.json()["requests"]) == ("queued", 1)
    answer = service.call("DELETE", path, headers=bearer(KEY))
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:msaas:error:not_your_request")
    assert service.call("DELETE", path, headers=bearer(OTHER_KEY)).json()["state"] == "cancelled"


def test_all_requests_are_cancelled_by_a_key_that_sees_all(shared: Start, song: bytes) -> None:
    service = shared(API_KEYS=f"{KEY},ann:write:{OTHER_KEY}")
    send(service, song, KEY)
    send(service, song, OTHER_KEY)
    path = f"/apiv1/job/{song_hash(song)}?all=1"
    assert service.call("DELETE", path, headers=bearer(OTHER_KEY)).status_code == 400
    assert service.call("DELETE", path, headers=bearer(KEY)).json()["state"] == "cancelled"


def test_ended_and_unknown_jobs_are_not_cancelled(service: Service, song: bytes) -> None:
    send(service, song)
    service.work()
    answer = service.call("DELETE", f"/apiv1/job/{song_hash(song)}")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:msaas:error:job_ended")
    assert "it is done" in answer.json()["detail"]
    assert service.call("DELETE", f"/apiv1/job/{'a' * 64}").status_code == 404
    assert service.call("DELETE", "/apiv1/job/-x").status_code == 400


def test_unknown_fields_cancel_nothing(service: Service, song: bytes) -> None:
    sent = send(service, song)
    for query in ("?request=x", "?all=yes", "?all=1&request_id=x"):
        answer = service.call("DELETE", f"/apiv1/job/{sent['songhash']}{query}")
        assert answer.status_code == 400
    assert service.get("/apiv1/queue").json() == {"queue": [sent["songhash"]]}


def test_cancelled_song_runs_when_it_is_sent_again(service: Service, song: bytes) -> None:
    sent = send(service, song)
    service.call("DELETE", f"/apiv1/job/{sent['songhash']}")
    send(service, song)
    assert service.get(f"/apiv1/job/{sent['songhash']}").json()["state"] == "queued"
    service.work()
    assert service.get(f"/apiv1/job/{sent['songhash']}").json()["state"] == "done"


def test_result_in_the_store_ends_the_record_of_a_cancelled_job(service: Service, song: bytes) -> None:
    sent = send(service, song)
    service.call("DELETE", f"/apiv1/job/{sent['songhash']}")
    service.store_stems(sent["songhash"])
    send(service, song)
    assert service.get(f"/apiv1/job/{sent['songhash']}").json()["state"] == "done"


def test_other_web_sites_cannot_cancel(service: Service, song: bytes) -> None:
    sent = send(service, song)
    headers = {"Sec-Fetch-Site": "cross-site"}
    answer = service.call("DELETE", f"/apiv1/job/{sent['songhash']}", headers=headers)
    assert answer.status_code == 403
    assert service.queue.waiting() == [sent["songhash"]]


def test_requests_with_the_same_trace_are_two(service: Service, song: bytes) -> None:
    """A proxy may give all requests the same `X-Request-ID`."""
    first, second = (service.send(song, headers={"X-Request-ID": "proxy"}).json() for _ in range(2))
    assert first["request_id"] != second["request_id"]
    path = f"/apiv1/job/{first['songhash']}"
    answer = service.call("DELETE", path, params={"request_id": first["request_id"]})
    assert (answer.json()["state"], answer.json()["requests"]) == ("queued", 1)
