"""`/auth`: register, log in, sessions, password, deletion of the account."""

import http.cookies
from collections.abc import Callable
from typing import Any

import pytest
import requests
from rest.tests.conftest import Start
from rest.tests.service import FRAME, Service
from rest.tests.songs_client import PASSWORD, SongsClient, texts_of

Visit = Callable[..., SongsClient]
HTTPS = {"X-Forwarded-Proto": "https"}
DONE: dict[str, Any] = {"ok": True, "errors": {}}


def cookie_of(answer: requests.Response) -> http.cookies.Morsel[str]:
    (cookie,) = http.cookies.SimpleCookie(answer.headers["Set-Cookie"]).values()
    return cookie


@pytest.mark.parametrize("kind", ["data", "json"])
def test_register_logs_in(visit: Visit, kind: str) -> None:
    client = visit()
    fields = {"username": "Ann", "password1": PASSWORD, "password2": PASSWORD}
    answer = client.call("POST", "/auth/register", **{kind: fields})
    assert (answer.status_code, answer.json()) == (200, DONE)
    assert client.get("/auth/account").json()["data"]["user"]["username"] == "ann"


@pytest.mark.parametrize("kind", ["data", "json"])
def test_login_opens_a_session_and_logout_ends_it(visit: Visit, kind: str) -> None:
    visit("ann")
    client = visit()
    answer = client.call("POST", "/auth/login", **{kind: {"username": "ann", "password": PASSWORD}})
    assert (answer.status_code, answer.json()) == (200, DONE)
    token = client.session.cookies["msaas"]
    assert client.get("/auth/account").status_code == 200
    answer = client.call("POST", "/auth/logout")
    assert (answer.status_code, answer.json()) == (200, DONE)
    assert client.session.cookies.get_dict() == {}
    client.session.cookies["msaas"] = token
    assert client.get("/auth/account").status_code == 401


def test_logout_without_a_session_succeeds(visit: Visit) -> None:
    client = visit()
    assert client.call("POST", "/auth/logout").status_code == 200
    client.session.cookies["msaas"] = "dead"
    assert client.call("POST", "/auth/logout").status_code == 200


def test_cookie_of_plain_http(visit: Visit) -> None:
    cookie = cookie_of(visit().register("ann"))
    assert (cookie.key, cookie["path"], cookie["samesite"]) == ("msaas", "/", "Lax")
    assert cookie["httponly"]
    assert not cookie["secure"]
    assert not cookie["domain"]
    assert int(cookie["max-age"]) == 30 * 24 * 3600


def test_cookie_of_https_is_that_of_the_host(visit: Visit) -> None:
    visit("ann")
    client = visit()
    fields = {"username": "ann", "password": PASSWORD}
    cookie = cookie_of(client.call("POST", "/auth/login", data=fields, headers=HTTPS))
    assert (cookie.key, cookie["path"], cookie["samesite"]) == ("__Host-msaas", "/", "Lax")
    assert cookie["httponly"]
    assert cookie["secure"]
    assert not cookie["domain"]
    header = {"Cookie": f"__Host-msaas={cookie.value}"}
    assert client.get("/auth/account", headers={**HTTPS, **header}).status_code == 200
    # Over https a cookie that plain http could have set does not count.
    header = {"Cookie": f"msaas={cookie.value}"}
    assert client.get("/auth/account", headers={**HTTPS, **header}).status_code == 401
    assert client.get("/auth/account", headers=header).status_code == 200


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, {"username", "password1"}),
        ({"username": "a b", "password1": PASSWORD, "password2": PASSWORD}, {"username"}),
        ({"username": "ann", "password1": "short", "password2": "short"}, {"password1"}),
        ({"username": "ann", "password1": PASSWORD, "password2": "other"}, {"password2"}),
    ],
)
def test_register_names_each_wrong_field(visit: Visit, fields: dict[str, str], wrong: set[str]) -> None:
    answer = visit().call("POST", "/auth/register", data=fields)
    assert answer.status_code == 400
    assert texts_of(answer).keys() == wrong
    assert "Set-Cookie" not in answer.headers


def test_taken_name_is_refused_in_any_case(visit: Visit) -> None:
    visit("ann")
    answer = visit().register("ANN")
    assert (answer.status_code, texts_of(answer)) == (400, {"username": ["The username is taken."]})


@pytest.mark.parametrize(
    "body",
    [
        {"json": ["username"]},
        {"data": "{", "headers": {"Content-Type": "application/json"}},
        {"json": {"username": 1, "password": PASSWORD}},
        {"json": {"username": None}},
        {"data": b"\xff", "headers": {"Content-Type": "multipart/form-data"}},
    ],
)
def test_malformed_bodies_have_an_envelope(visit: Visit, body: dict[str, Any]) -> None:
    answer = visit().call("POST", "/auth/login", **body)
    assert answer.status_code in (400, 401)
    assert texts_of(answer)


def test_large_body_is_refused(visit: Visit) -> None:
    answer = visit().call("POST", "/auth/login", data={"username": "a" * 100_000})
    assert (answer.status_code, texts_of(answer).keys()) == (413, {"file"})


def test_wrong_password_and_unknown_name_look_alike(visit: Visit) -> None:
    visit("ann")
    wrong = visit().login("ann", password="wrong horse")
    unknown = visit().login("eve")
    assert (wrong.status_code, wrong.json()) == (401, unknown.json())
    assert "Set-Cookie" not in wrong.headers


def test_login_ends_the_session_of_the_cookie(visit: Visit) -> None:
    client = visit("ann")
    before = client.session.cookies["msaas"]
    client.login("ann")
    assert client.session.cookies["msaas"] != before
    other = visit()
    other.session.cookies["msaas"] = before
    assert other.get("/auth/account").status_code == 401


# Sessions


def test_sessions_are_listed_and_revoked(visit: Visit) -> None:
    client, other, third = visit("ann"), visit(), visit()
    other.login("ann")
    third.login("ann")
    sessions = client.get("/auth/sessions").json()["data"]["sessions"]
    assert [each["is_current"] for each in sessions] == [False, False, True]
    assert sessions[0]["agent"].startswith("python-requests/")
    answer = client.call("DELETE", f"/auth/sessions/{sessions[1]['id']}")
    assert (answer.status_code, answer.json()) == (200, DONE)
    assert (other.get("/auth/account").status_code, third.get("/auth/account").status_code) == (401, 200)
    assert client.call("DELETE", "/auth/sessions").json() == DONE
    assert (client.get("/auth/account").status_code, third.get("/auth/account").status_code) == (200, 401)


@pytest.mark.parametrize("session", ["0", "-1", "x", "9" * 30, "999999"])
def test_unknown_session_is_404(visit: Visit, session: str) -> None:
    answer = visit("ann").call("DELETE", f"/auth/sessions/{session}")
    assert answer.status_code == 404
    assert texts_of(answer)


def test_session_of_another_user_is_404(visit: Visit) -> None:
    ann, bob = visit("ann"), visit("bob")
    (session,) = ann.get("/auth/sessions").json()["data"]["sessions"]
    assert bob.call("DELETE", f"/auth/sessions/{session['id']}").status_code == 404
    assert ann.get("/auth/account").status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/auth/account"),
        ("DELETE", "/auth/account"),
        ("POST", "/auth/password"),
        ("GET", "/auth/sessions"),
        ("DELETE", "/auth/sessions"),
        ("DELETE", "/auth/sessions/1"),
    ],
)
def test_account_needs_a_session(visit: Visit, method: str, path: str) -> None:
    client = visit()
    answer = client.call(method, path)
    assert (answer.status_code, texts_of(answer).keys()) == (401, {"general"})
    client.session.cookies["msaas"] = "dead"
    assert client.call(method, path).status_code == 401


# Password and deletion


def test_password_change_ends_other_sessions(visit: Visit) -> None:
    client, other = visit("ann"), visit()
    other.login("ann")
    fields = {"password": PASSWORD, "password1": "battery staple", "password2": "battery staple"}
    answer = client.call("POST", "/auth/password", json=fields)
    assert (answer.status_code, answer.json()) == (200, DONE)
    assert (client.get("/auth/account").status_code, other.get("/auth/account").status_code) == (200, 401)
    assert visit().login("ann").status_code == 401
    assert visit().login("ann", password="battery staple").status_code == 200


def test_password_change_needs_the_present_password(visit: Visit) -> None:
    fields = {"password": "wrong", "password1": "battery staple", "password2": "battery staple"}
    answer = visit("ann").call("POST", "/auth/password", data=fields)
    assert (answer.status_code, texts_of(answer).keys()) == (400, {"password"})


def test_account_is_deleted_with_its_songs(visit: Visit, songs_service: Service) -> None:
    client = visit("ann")
    client.upload(FRAME * 100)
    answer = client.call("DELETE", "/auth/account", json={"password": "wrong"})
    assert (answer.status_code, texts_of(answer).keys()) == (400, {"password"})
    answer = client.call("DELETE", "/auth/account", json={"password": PASSWORD})
    assert (answer.status_code, answer.json()) == (200, DONE)
    assert client.session.cookies.get_dict() == {}
    assert visit().login("ann").status_code == 401
    assert list(songs_service.song_store.songs()) == []
    assert songs_service.queue.waiting() == []


# Limits and guards


def test_logins_are_limited_for_each_account(visit: Visit) -> None:
    visit("ann")
    assert [visit().login(name, password="wrong horse").status_code for name in ("ann", "Ann") * 3] == [
        401
    ] * 5 + [429]
    answer = visit().login("ann")
    assert answer.status_code == 429
    assert texts_of(answer) == {"general": ["The limit is 5 per 1 minute. Try again later."]}
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert visit().login("bob").status_code == 401


def test_logins_are_limited_for_each_address(visit: Visit) -> None:
    statuses = [visit().login(f"user{number}").status_code for number in range(21)]
    assert statuses == [401] * 20 + [429]
    assert visit().register("ann").status_code == 429


def test_limit_counts_a_login_once(visit: Visit) -> None:
    """The app runs twice for a request with a body."""
    visit("ann")
    assert [visit().login("ann").status_code for _ in range(6)] == [200] * 5 + [429]


@pytest.mark.parametrize(("method", "path"), [("POST", "/auth/password"), ("DELETE", "/auth/account")])
def test_guesses_of_the_present_password_are_limited(visit: Visit, method: str, path: str) -> None:
    client = visit("ann")
    fields = {"password": "wrong", "password1": "battery staple", "password2": "battery staple"}
    statuses = [client.call(method, path, json=fields).status_code for _ in range(6)]
    assert statuses == [400] * 5 + [429]
    assert client.get("/auth/account").status_code == 200


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/auth/login"), ("POST", "/auth/logout"), ("DELETE", "/auth/account")]
)
def test_pages_of_other_sites_change_nothing(visit: Visit, method: str, path: str) -> None:
    client = visit("ann")
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        answer = client.call(method, path, headers=headers)
        assert (answer.status_code, texts_of(answer).keys()) == (403, {"general"})
    assert client.get("/auth/account").status_code == 200


def test_pages_of_cors_origins_change_nothing_by_a_session(shared: Start, database_url: str) -> None:
    """They may call `/apiv1`, which knows no cookies."""
    page = "https://songs.example"
    client = SongsClient(service=shared(DATABASE_URL=database_url, CORS_ORIGINS=page))
    client.register("ann")
    for path in ("/auth/logout", "/songs/upload"):
        answer = client.call("POST", path, headers={"Origin": page})
        assert (answer.status_code, texts_of(answer).keys()) == (403, {"general"})
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert client.get("/auth/account").status_code == 200


@pytest.mark.parametrize("path", ["/songs/1/2/3/4", "/auth/nothing", "/songs/1/pieces/x"])
def test_unknown_paths_have_an_envelope(visit: Visit, path: str) -> None:
    answer = visit().get(path)
    assert answer.status_code == 404
    assert texts_of(answer)
    answer = visit().call("PUT", "/songs/")
    assert answer.status_code == 405
    assert texts_of(answer)
    assert answer.headers["Allow"]


def test_service_without_a_database_answers_503(shared: Start, song: bytes) -> None:
    service = shared(DEBUG_ENDPOINTS="1")
    client = SongsClient(service=service)
    for answer in (
        client.login("ann"),
        client.get("/songs/"),
        client.send(song),
        client.call("POST", "/auth/logout"),
    ):
        assert answer.status_code == 503
        assert "DATABASE_URL" in texts_of(answer)["general"][0]
        assert answer.headers["Retry-After"] == "5"
    assert service.send(song).status_code == 200
    assert service.get("/apiv1/queue").status_code == 200
