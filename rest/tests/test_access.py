"""With keys only their owners are served; beyond a rate or a full queue clients hear when to come back."""

import hashlib
import http.client
import time
from pathlib import Path

import pytest
import requests
from flask import Flask, g
from rest.tests.conftest import Start
from rest.tests.service import Service

from msaas.errors import MissingKey, WrongKey
from msaas.jobs import Job
from msaas_rest.keys import ApiKeys, parse_api_keys
from msaas_rest.rates import client
from tests.servers import redis_running

KEY, OTHER_KEY = "k" * 32, "an-other-key-0123456789"
JOB = "a" * 64
CALLS = [
    ("POST", "/apiv1/separate"),
    ("GET", "/apiv1/queue"),
    ("GET", "/apiv1/queue/"),
    ("HEAD", "/apiv1/queue"),
    ("GET", f"/apiv1/track/{JOB}/bass"),
    ("GET", f"/apiv1/track/{JOB}-bass.mp3"),
    ("GET", f"/apiv1/remove/{JOB}/bass"),
    ("DELETE", f"/apiv1/remove/{JOB}-bass"),
    ("GET", f"/apiv1/job/{JOB}"),
    ("GET", "/apiv1/models"),
    ("GET", "/apiv1/bucket"),
    ("DELETE", "/apiv1/delete_contents"),
    ("GET", "/apiv1/nothing"),
    ("OPTIONS", "/apiv1/separate"),
    ("GET", "/%61piv1/queue"),
    ("GET", "/apiv1/x/../queue"),
    ("GET", "//apiv1/queue"),
]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def raw(service: Service, method: str, path: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    """Send the path as it is."""
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=20)
    connection.request(method, path, headers=headers)
    return connection.getresponse()


def assert_problem(answer: requests.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:msaas:error:{code}")
    assert answer.headers["Content-Type"] == "application/problem+json"


# Keys


@pytest.fixture
def locked(start: Start) -> Service:
    hashed = hashlib.sha256(OTHER_KEY.encode()).hexdigest()
    return start(API_KEYS=f"{KEY}, sha256:{hashed}", DEBUG_ENDPOINTS="1")


def test_every_call_takes_a_key_and_nothing_is_done_without(locked: Service) -> None:
    locked.store_stems(JOB)
    for headers in ({}, bearer("x" * 32), {"Authorization": f"Basic {KEY}"}):
        for method, path in CALLS:
            answer = raw(locked, method, path, headers)
            assert (answer.status, method, path) == (401, method, path)
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="msaas"'
    assert set(locked.tracks.manifest(JOB).stems) == {"vocals", "drums", "bass", "other"}  # type: ignore[union-attr]


def test_a_missing_key_and_a_wrong_one_are_told_apart(locked: Service) -> None:
    assert_problem(locked.get("/apiv1/queue"), 401, "missing_key")
    assert_problem(locked.get("/apiv1/queue", headers=bearer("x" * 32)), 401, "wrong_key")


@pytest.mark.parametrize("key", [KEY, OTHER_KEY])
def test_the_owner_of_a_key_is_served(locked: Service, song: bytes, key: str) -> None:
    assert locked.send(song, headers=bearer(key)).status_code == 200
    assert len(locked.get("/apiv1/queue", headers={"Authorization": f"bearer {key}"}).json()["queue"]) == 1


def test_health_needs_no_key(locked: Service) -> None:
    for path in ("/", "/healthz", "/readyz", "/metrics"):
        assert locked.get(path).status_code == 200


def test_without_keys_everybody_is_served(service: Service) -> None:
    assert service.get("/apiv1/queue").status_code == 200


def test_keys_come_from_a_file_too(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# of the web shop\n{KEY}\n\n{OTHER_KEY}\n")
    service = start(API_KEYS=f"@{file}")
    assert service.get("/apiv1/queue").status_code == 401
    for key in (KEY, OTHER_KEY):
        assert service.get("/apiv1/queue", headers=bearer(key)).status_code == 200


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", f"Basic {KEY}", KEY])
def test_what_is_no_bearer_token_is_no_key(authorization: str | None) -> None:
    with pytest.raises(MissingKey):
        parse_api_keys(KEY).check(authorization)


@pytest.mark.parametrize(
    "key", [KEY[:-1], KEY + "k", hashlib.sha256(KEY.encode()).hexdigest(), f"{KEY},{KEY}", "k\udcff", "*"]
)
def test_what_only_resembles_a_key_is_none(key: str) -> None:
    with pytest.raises(WrongKey):
        parse_api_keys(KEY).check(f"Bearer {key}")


@pytest.mark.parametrize("text", [",", " , ", "short", f"{KEY},short", "@/nowhere/keys", "sha256:abc"])
def test_keys_that_lock_nothing_are_refused_at_the_start(text: str) -> None:
    with pytest.raises(ValueError, match=r"key|file") as refused:
        parse_api_keys(text)
    assert KEY not in str(refused.value)


def test_keys_are_never_shown() -> None:
    keys = parse_api_keys(KEY)
    assert (str(keys), repr(keys), str(ApiKeys())) == ("***", "***", "")


# Rates


def test_beyond_the_rate_a_client_hears_when_to_come_back(start: Start) -> None:
    service = start(RATE_LIMIT="3/5 seconds")
    assert [service.get("/apiv1/queue").status_code for _ in range(3)] == [200] * 3
    refused = service.get("/apiv1/models")
    assert_problem(refused, 429, "too_many_requests")
    assert 1 <= int(refused.headers["Retry-After"]) <= 6
    time.sleep(int(refused.headers["Retry-After"]))
    assert service.get("/apiv1/models").status_code == 200


def test_the_window_moves(start: Start) -> None:
    """With fixed windows a client could call twice as often around their border."""
    service = start(RATE_LIMIT="2/4 seconds")
    assert service.get("/apiv1/queue").status_code == 200
    time.sleep(2.5)
    assert service.get("/apiv1/queue").status_code == 200
    time.sleep(2.0)
    assert [service.get("/apiv1/queue").status_code for _ in range(2)] == [200, 429]


def test_the_pods_count_together_and_each_client_alone(start: Start) -> None:
    pods = [start(RATE_LIMIT="2/minute", API_KEYS=f"{KEY},{OTHER_KEY}") for _ in range(2)]
    assert [pod.get("/apiv1/queue", headers=bearer(KEY)).status_code for pod in pods * 2] == [
        200,
        200,
        429,
        429,
    ]
    assert pods[0].get("/apiv1/queue", headers=bearer(OTHER_KEY)).status_code == 200


def test_health_is_not_counted(start: Start) -> None:
    service = start(RATE_LIMIT="1/minute")
    for path in ("/", "/healthz", "/readyz", "/metrics") * 2:
        assert service.get(path).status_code == 200


def test_a_client_cannot_fill_redis_with_its_calls(start: Start) -> None:
    service = start(RATE_LIMIT="5/minute")
    redis = service.redis
    for _ in range(20):
        service.get("/apiv1/queue")
    (counted,) = redis.keys("toWorkers:rates*")
    assert redis.llen(counted) == 5
    assert 0 < redis.ttl(counted) <= 61


@pytest.mark.parametrize(
    ("address", "expected"),
    [("10.1.2.3", "10.1.2.3"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), ("::1", "::/64")],
)
def test_a_client_has_no_more_rate_for_having_more_addresses(address: str, expected: str) -> None:
    with Flask("x").test_request_context(environ_base={"REMOTE_ADDR": address}):
        assert client() == expected
        g.key_digest = b"\x01"
        assert client() == "01"


@pytest.mark.parametrize("fault", ["kill", "pause"])
def test_while_nobody_counts_nobody_is_let_in(start: Start, tmp_path: Path, fault: str) -> None:
    with redis_running(tmp_path / "mortal") as mortal:
        service = start(RATE_LIMIT="100/minute", REDIS_PORT=str(mortal.port))
        assert service.get("/apiv1/models").status_code == 200
        getattr(mortal, fault)()
        refused = service.get("/apiv1/models")
        assert_problem(refused, 503, "queue_unavailable")
        assert "Retry-After" in refused.headers
        assert refused.elapsed.total_seconds() <= 2
        assert service.get("/healthz").status_code == 200


# Admission


def test_a_full_queue_takes_no_more_songs(start: Start, song: bytes) -> None:
    service = start(MAX_QUEUED="2")
    service.queue.enqueue(Job("1" * 64))
    assert service.send(song).status_code == 200
    refused = service.send(song + bytes(417))
    assert_problem(refused, 503, "queue_full")
    assert int(refused.headers["Retry-After"]) > 0
    assert len(list(service.tracks.songs())) == 1
    service.work()
    assert service.send(song).status_code == 200


def test_a_full_queue_refuses_before_the_body_is_read(start: Start) -> None:
    service = start(MAX_QUEUED="1")
    service.queue.enqueue(Job("1" * 64))
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=20)
    connection.putrequest("POST", "/apiv1/separate")
    connection.putheader("Content-Length", "1000000")
    connection.endheaders()
    assert connection.getresponse().status == 503


# What browsers are told


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/apiv1/queue", "/apiv1/nothing", f"/apiv1/track/{JOB}/bass"]
)
def test_every_answer_tells_browsers_to_trust_nothing(service: Service, path: str) -> None:
    headers = service.get(path, headers={"Accept": "text/html"}).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    # The page's own form needs its origin.
    assert headers["Referrer-Policy"] == ("same-origin" if path == "/" else "no-referrer")
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "Access-Control-Allow-Origin" not in headers
