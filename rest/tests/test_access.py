"""API keys, rate limit, admission of songs, and the security headers of every answer."""

import hashlib
import http.client
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from flask import Flask, request
from flask.testing import FlaskClient
from rest.tests.conftest import Start
from rest.tests.in_memory import client_on
from rest.tests.service import Service

from msaas.errors import MissingKey, WrongKey
from msaas.jobs import Job
from msaas.queue.redis.clients import RedisAddress
from msaas_rest.http.api_keys import ApiKeys, parse_api_keys
from msaas_rest.http.clients import address_of, caller_of
from tests.servers import RedisServer, redis_running

KEY, OTHER_KEY = "k" * 32, "an-other-key-0123456789"
JOB = "a" * 64
_ARGUMENTS = {
    "job_id": JOB,
    "song": JOB,
    "part": "bass",
    "number": "1",
    "name": f"{JOB}-bass.mp3",
    "delivery_id": "msg_0",
}


def routes_of_the_api() -> list[tuple[str, str]]:
    """Return each method and path of the machine API, with the debug routes."""
    rules = client_on(debug_endpoints=True).application.url_map.iter_rules()
    return [
        (method, re.sub(r"<(\w+)>", lambda name: _ARGUMENTS[name[1]], rule.rule))
        for rule in rules
        if rule.rule.startswith("/apiv1")
        for method in sorted(rule.methods or ())
    ]


CALLS = [
    *routes_of_the_api(),
    ("GET", "/apiv1/queue/"),
    ("GET", "/apiv1/nothing"),
    ("PUT", "/apiv1/queue"),
    ("OPTIONS", "/apiv1/separate"),
    ("GET", "/%61piv1/queue"),
    ("GET", "/apiv1/x/../queue"),
    ("GET", "//apiv1/queue"),
]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def call_raw(service: Service, method: str, path: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    """Send the path without normalising it."""
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=20)
    connection.request(method, path, headers=headers)
    return connection.getresponse()


def assert_problem(answer: requests.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:msaas:error:{code}")
    assert answer.headers["Content-Type"] == "application/problem+json"


# Keys


@pytest.fixture
def locked(shared: Start) -> Service:
    hashed = hashlib.sha256(OTHER_KEY.encode()).hexdigest()
    return shared(API_KEYS=f"{KEY}, sha256:{hashed}", DEBUG_ENDPOINTS="1")


def test_every_call_needs_a_key_and_does_nothing_without(locked: Service) -> None:
    locked.store_stems(JOB)
    for headers in ({}, bearer("x" * 32), {"Authorization": f"Basic {KEY}"}):
        for method, path in CALLS:
            answer = call_raw(locked, method, path, headers)
            assert (answer.status, method, path) == (401, method, path)
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="msaas"'
    manifest = locked.song_store.manifest(JOB)
    assert manifest is not None
    assert set(manifest.stems) == {"vocals", "drums", "bass", "other"}


def test_missing_and_wrong_key_have_their_own_codes(locked: Service) -> None:
    assert_problem(locked.get("/apiv1/queue"), 401, "missing_key")
    assert_problem(locked.get("/apiv1/queue", headers=bearer("x" * 32)), 401, "wrong_key")


@pytest.mark.parametrize("key", [KEY, OTHER_KEY])
def test_owner_of_a_key_is_served(locked: Service, song: bytes, key: str) -> None:
    assert locked.send(song, headers=bearer(key)).status_code == 200
    assert len(locked.get("/apiv1/queue", headers={"Authorization": f"bearer {key}"}).json()["queue"]) == 1


def test_health_needs_no_key(locked: Service) -> None:
    for path in ("/", "/healthz", "/readyz", "/metrics"):
        assert locked.get(path).status_code == 200


def test_service_without_keys_is_open(service: Service) -> None:
    assert service.get("/apiv1/queue").status_code == 200


def test_keys_can_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# of the web shop\n{KEY}\n\n{OTHER_KEY}\n")
    app = client_on(api_keys=f"@{file}")
    assert app.get("/apiv1/queue").status_code == 401
    for key in (KEY, OTHER_KEY):
        assert app.get("/apiv1/queue", headers=bearer(key)).status_code == 200


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", f"Basic {KEY}", KEY])
def test_header_without_a_bearer_token_has_no_key(authorization: str | None) -> None:
    with pytest.raises(MissingKey):
        parse_api_keys(KEY).check(authorization)


@pytest.mark.parametrize(
    "key", [KEY[:-1], KEY + "k", hashlib.sha256(KEY.encode()).hexdigest(), f"{KEY},{KEY}", "k\udcff", "*"]
)
def test_similar_key_is_wrong(key: str) -> None:
    with pytest.raises(WrongKey):
        parse_api_keys(KEY).check(f"Bearer {key}")


@pytest.mark.parametrize("text", [",", " , ", "short", f"{KEY},short", "@/nowhere/keys", "sha256:abc"])
def test_unsafe_keys_are_refused_at_the_start(text: str) -> None:
    with pytest.raises(ValueError, match=r"key|file") as refused:
        parse_api_keys(text)
    assert KEY not in str(refused.value)


def test_keys_are_not_printed() -> None:
    keys = parse_api_keys(KEY)
    assert (str(keys), repr(keys), str(ApiKeys())) == ("***", "***", "")


# Rate limit


class Clock:
    """The time that the limiter sees. Redis counts with it as well."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    return clock


def limited(address: RedisAddress, *, rate: str, api_keys: str = "") -> FlaskClient:
    keys = {"api_keys": api_keys} if api_keys else {}
    return client_on(redis_host=address.host, redis_port=address.port, rate_limit=rate, **keys)


def test_refused_client_reads_the_seconds_to_wait(redis_address: RedisAddress, clock: Clock) -> None:
    app = limited(redis_address, rate="3/50 seconds; 1000/hour")
    assert [app.get("/apiv1/queue").status_code for _ in range(3)] == [200] * 3
    clock.now += 10
    refused = app.get("/apiv1/models")
    assert refused.status_code == 429
    assert refused.json["type"] == "urn:msaas:error:too_many_requests"  # type: ignore[index]
    assert refused.content_type == "application/problem+json"
    assert refused.headers["Retry-After"] == "40"
    clock.now += 41
    assert app.get("/apiv1/models").status_code == 200


def test_window_moves(redis_address: RedisAddress, clock: Clock) -> None:
    """With fixed windows a client could call twice as often around their border."""
    app = limited(redis_address, rate="2/40 seconds")
    assert app.get("/apiv1/queue").status_code == 200
    clock.now += 25
    assert app.get("/apiv1/queue").status_code == 200
    clock.now += 20
    assert [app.get("/apiv1/queue").status_code for _ in range(2)] == [200, 429]


def test_unknown_paths_and_wrong_methods_count(redis_address: RedisAddress) -> None:
    app = limited(redis_address, rate="2/minute")
    statuses = [app.get("/apiv1/nothing").status_code, app.put("/apiv1/queue").status_code]
    assert [*statuses, app.get("/apiv1/queue").status_code] == [404, 405, 429]


def test_pods_count_together_and_clients_apart(redis_address: RedisAddress) -> None:
    pods = [limited(redis_address, rate="2/minute", api_keys=f"{KEY},{OTHER_KEY}") for _ in range(2)]
    statuses = [pod.get("/apiv1/queue", headers=bearer(KEY)).status_code for pod in pods * 2]
    assert statuses == [200, 200, 429, 429]
    assert pods[0].get("/apiv1/queue", headers=bearer(OTHER_KEY)).status_code == 200


def test_guesses_of_a_key_count_for_the_address(redis_address: RedisAddress) -> None:
    app = limited(redis_address, rate="2/minute", api_keys=KEY)
    statuses = [app.get("/apiv1/queue", headers=bearer(f"{number:032}")).status_code for number in range(3)]
    assert statuses == [401, 401, 429]
    assert app.get("/apiv1/queue", headers=bearer(KEY)).status_code == 200


def test_health_is_not_counted(redis_address: RedisAddress) -> None:
    app = limited(redis_address, rate="1/minute")
    for path in ("/", "/healthz", "/readyz", "/metrics") * 2:
        assert app.get(path).status_code == 200


def test_refused_calls_take_no_memory_in_redis(redis_server: RedisServer) -> None:
    app, redis = limited(redis_server.address, rate="5/minute"), redis_server.client()
    for _ in range(20):
        app.get("/apiv1/queue")
    (counted,) = redis.keys("toWorkers:rates*")
    assert redis.llen(counted) == 5
    assert 0 < redis.ttl(counted) <= 61


@pytest.mark.parametrize(
    ("address", "expected"),
    [("10.1.2.3", "10.1.2.3"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), ("::1", "127.0.0.1")],
)
def test_client_is_its_key_or_its_network(address: str, expected: str) -> None:
    keys = parse_api_keys(KEY)
    environ = {"REMOTE_ADDR": address}
    with Flask("x").test_request_context(environ_base=environ, headers=bearer(KEY)):
        assert address_of(request) == caller_of(request, keys=ApiKeys()).owner == expected
        assert caller_of(request, keys=keys).owner == hashlib.sha256(KEY.encode()).hexdigest()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_running(tmp_path / "own-redis") as server:
        yield server


@pytest.mark.parametrize("fault", ["kill", "pause"])
def test_rate_limit_fails_closed_without_redis(own_redis: RedisServer, fault: str) -> None:
    app = limited(own_redis.address, rate="100/minute")
    assert app.get("/apiv1/models").status_code == 200
    getattr(own_redis, fault)()
    started = time.monotonic()
    for path in ("/apiv1/models", "/apiv1/nothing"):
        refused = app.get(path)
        assert refused.status_code == 503
        assert refused.json["type"] == "urn:msaas:error:queue_unavailable"  # type: ignore[index]
        assert refused.headers["Retry-After"] == "5"
    assert time.monotonic() - started <= 2 * 2
    assert app.get("/healthz").status_code == 200


# Admission


def test_full_queue_refuses_songs(shared: Start, song: bytes) -> None:
    service = shared(MAX_QUEUED="2")
    service.queue.enqueue(Job(job_id="1" * 64))
    assert service.send(song).status_code == 200
    refused = service.send(song + bytes(417))
    assert_problem(refused, 503, "queue_full")
    assert int(refused.headers["Retry-After"]) > 0
    assert len(list(service.song_store.songs())) == 1
    service.work()
    assert service.send(song).status_code == 200


def test_full_queue_refuses_before_the_body_is_read(shared: Start) -> None:
    service = shared(MAX_QUEUED="2")
    for digit in "12":
        service.queue.enqueue(Job(job_id=digit * 64))
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=20)
    connection.putrequest("POST", "/apiv1/separate")
    connection.putheader("Content-Length", "1000000")
    connection.endheaders()
    assert connection.getresponse().status == 503


# Security headers


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/apiv1/queue", "/apiv1/nothing", f"/apiv1/track/{JOB}/bass"]
)
def test_every_answer_has_the_security_headers(service: Service, path: str) -> None:
    headers = service.get(path, headers={"Accept": "text/html"}).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    # The form of the page needs its origin.
    assert headers["Referrer-Policy"] == ("same-origin" if path == "/" else "no-referrer")
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    # The built page is asked for again by its ETag.
    assert headers["Cache-Control"] in ({"no-store", "no-cache"} if path == "/" else {"no-store"})
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "base-uri 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "Access-Control-Allow-Origin" not in headers
