"""Who may register and upload to `/songs`, and the rate limit of its callers."""

import io
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from rest.tests.in_memory import client_on
from rest.tests.service import FRAME
from rest.tests.worker_archives import TOKEN, archive, bearer

from msaas.queue.redis.clients import RedisAddress
from msaas.songs import song_hash
from msaas_catalogue import Catalogue, open_catalogue, prepare
from msaas_rest.http.api_keys import parse_api_keys
from msaas_rest.settings import RestSettings

KEY = "a-key-of-sixteen-and-more"
MP3 = FRAME * 100


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    url = f"sqlite:///{tmp_path / 'catalogue.db'}"
    prepare(url)
    return open_catalogue(url)


def client_of(catalogue: Catalogue, redis: RedisAddress, **settings: Any) -> FlaskClient:
    if "api_keys" in settings:
        settings["api_keys"] = parse_api_keys(settings["api_keys"])
    return client_on(catalogue=catalogue, redis_host=redis.host, redis_port=redis.port, **settings)


def register(client: FlaskClient, name: str = "ann") -> int:
    fields = {"username": name, "password1": "correct horse", "password2": "correct horse"}
    return client.post("/auth/register", data=fields).status_code


def upload(client: FlaskClient) -> int:
    return client.post("/songs/upload", data={"title": "x", "file": (io.BytesIO(MP3), "x.mp3")}).status_code


# Registration


@pytest.mark.parametrize(
    ("settings", "is_open"),
    [
        ({}, True),
        ({"api_keys": KEY}, False),
        ({"registration": "closed"}, False),
        ({"api_keys": KEY, "registration": "open"}, True),
        ({"api_keys": KEY, "registration": "closed"}, False),
    ],
)
def test_registration_is_closed_where_keys_are_set(
    catalogue: Catalogue, redis_address: RedisAddress, settings: dict[str, Any], is_open: bool
) -> None:
    client = client_of(catalogue, redis_address, **settings)
    assert upload(client) == (200 if is_open else 401)
    assert register(client) == (200 if is_open else 403)
    # A login is open in each case: operators make accounts.
    password = catalogue.accounts.add("bob")
    login = client.post("/auth/login", data={"username": "bob", "password": password})
    assert login.status_code == 200
    assert upload(client) == 200


def test_closed_registration_shows_anonymous_songs_of_before(
    catalogue: Catalogue, redis_address: RedisAddress
) -> None:
    assert upload(client_of(catalogue, redis_address)) == 200
    closed = client_of(catalogue, redis_address, registration="closed")
    assert len(closed.get("/songs/").get_json()["data"]["songs"]) == 1


def test_registration_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", KEY)
    assert not RestSettings.from_env().has_open_registration
    monkeypatch.setenv("REGISTRATION", "open")
    assert RestSettings.from_env().has_open_registration


# Rate limit


def test_calls_of_the_songs_api_are_limited(catalogue: Catalogue, redis_address: RedisAddress) -> None:
    client = client_of(catalogue, redis_address, rate_limit="3/minute")
    assert [client.get("/songs/").status_code for _ in range(4)] == [200, 200, 200, 429]
    answer = client.get("/auth/account")
    assert (answer.status_code, answer.get_json()["errors"].keys()) == (429, {"general"})
    assert 0 < int(answer.headers["Retry-After"]) <= 60


def test_both_apis_share_the_limit_of_a_client(catalogue: Catalogue, redis_address: RedisAddress) -> None:
    client = client_of(catalogue, redis_address, rate_limit="3/minute")
    paths = ("/songs/", "/apiv1/queue", "/songs/", "/apiv1/queue", "/songs/")
    assert [client.get(path).status_code for path in paths] == [200, 200, 200, 429, 429]


def test_users_have_limits_of_their_own(catalogue: Catalogue, redis_address: RedisAddress) -> None:
    """Both come from one address. The login itself counts for the address."""
    clients = [client_of(catalogue, redis_address, rate_limit="3/minute") for _ in range(2)]
    assert [register(client, name) for client, name in zip(clients, ("ann", "bob"), strict=True)] == [
        200,
        200,
    ]
    for client in clients:
        assert [client.get("/songs/").status_code for _ in range(4)] == [200, 200, 200, 429]


def test_dead_sessions_count_for_the_address(catalogue: Catalogue, redis_address: RedisAddress) -> None:
    client = client_of(catalogue, redis_address, rate_limit="3/minute")
    client.set_cookie("msaas", "dead")
    assert [client.get("/songs/").status_code for _ in range(4)] == [401, 401, 401, 429]


def test_workers_are_not_limited_but_guesses_of_their_token_are(
    catalogue: Catalogue, redis_address: RedisAddress
) -> None:
    client = client_of(catalogue, redis_address, rate_limit="3/minute", worker_token=TOKEN)
    path = f"/songs/{song_hash(MP3)}/upload_result"
    statuses = [client.post(path, data=archive(), headers=bearer()).status_code for _ in range(5)]
    assert statuses == [404] * 5
    wrong = [client.post(path, headers=bearer("wrong" * 4)).status_code for _ in range(4)]
    assert wrong == [401, 401, 401, 429]
