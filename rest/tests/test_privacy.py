"""Private songs in the machine API: the matrix of callers and songs, cell by cell, over every route.

The routes come from the map of the app. A test fails if a route takes or lists a hash and is not among them.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from rest.tests.conftest import Start
from rest.tests.described import url_map
from rest.tests.service import FRAME, Service
from rest.tests.songs_client import SongsClient
from rest.tests.test_access import bearer

from msaas.fragments import Fragments
from msaas.jobs import Callback, Job
from msaas.models import FOUR_STEMS
from msaas.queue.protocol import Request
from msaas.recipe import Recipe
from msaas.separations import Separation
from msaas.songs import song_hash
from msaas_catalogue import open_catalogue

ROOT, PLAIN, NAMED = (f"key-of-{name}-0123456789" for name in ("root", "all", "ann"))
KEYS = f"root:admin:{ROOT},ann:write:{NAMED},{PLAIN}"
MP3S = {
    name: FRAME * (100 + number) for number, name in enumerate(("anonymous", "ann", "bob", "ann and /apiv1"))
}
HASHES = {name: song_hash(mp3) for name, mp3 in MP3S.items()}
ABSENT = "f" * 64
RUNNING = Recipe(model="mdx")
#: Arguments of routes that name a song, by their name in the rule.
_OF_A_SONG = {"job_id", "name", "song", "song_id"}
_OTHERS = {
    "part": "bass",
    "number": "1",
    "delivery_id": "msg_" + "0" * 24,
    "session_id": "1",
    "file": "bass.mp3",
}


@dataclass(frozen=True, kw_only=True)
class Route:
    method: str
    rule: str

    @property
    def arguments(self) -> set[str]:
        return set(re.findall(r"<(?:int:)?(\w+)>", self.rule))

    @property
    def takes_a_song(self) -> bool:
        return bool(self.arguments & _OF_A_SONG)

    @property
    def is_safe(self) -> bool:
        return self.method in ("GET", "HEAD") and "/remove/" not in self.rule and "delete" not in self.rule

    def path(self, song: str) -> str:
        values = {**_OTHERS, "job_id": song, "song": song, "song_id": song, "name": f"{song}-bass"}
        return re.sub(r"<(?:int:)?(\w+)>", lambda match: values[match[1]], self.rule)


def list_routes() -> list[Route]:
    return [
        Route(method=method, rule=rule.rule)
        for rule in url_map().iter_rules()
        for method in sorted((rule.methods or set()) - {"OPTIONS"})
    ]


ROUTES = list_routes()
OF_A_HASH = [each for each in ROUTES if each.takes_a_song and each.rule.startswith("/apiv1")]
#: It takes a hash from callers with the token of workers only.
OF_WORKERS = "/songs/<song>/upload_result"
OF_A_SONG = [
    each
    for each in ROUTES
    if each.takes_a_song and each.rule.startswith("/songs") and each.rule != OF_WORKERS
]
#: Every other route that reads: none of them may name a hidden hash.
LISTS = [each for each in ROUTES if each.is_safe and each.method == "GET" and not each.takes_a_song]
#: Their replies are the same for each caller.
_CHANGING_WITHOUT_A_SONG = {
    *("/apiv1/separate", "/apiv1/delete_contents", OF_WORKERS),
    *("/songs/upload", "/auth/register", "/auth/login", "/auth/logout", "/auth/password"),
    *("/auth/account", "/auth/sessions", "/auth/sessions/<session_id>"),
}


def test_every_route_is_in_the_matrix() -> None:
    others = {each.rule for each in ROUTES if each not in (*OF_A_HASH, *OF_A_SONG, *LISTS)}
    assert others - _CHANGING_WITHOUT_A_SONG - {each.rule for each in LISTS} == set()
    assert len(OF_A_HASH) > 20
    assert len(OF_A_SONG) > 10
    for each in ROUTES:
        assert each.arguments <= {*_OF_A_SONG, *_OTHERS}, f"{each.rule} has an argument that no test knows"


@dataclass(kw_only=True)
class World:
    """A service with a song of each owner: the default recipe is done, another one runs."""

    service: Service
    clients: dict[str, SongsClient]
    ids: dict[str, int]

    def call(self, method: str, path: str, *, key: str = "", **kwargs: Any) -> requests.Response:
        return self.service.call(method, path, headers=bearer(key) if key else {}, **kwargs)


@pytest.fixture
def make_world(shared: Start, database_url: str) -> Callable[..., World]:
    def make(**environment: str) -> World:
        service = shared(DEBUG_ENDPOINTS="1", DATABASE_URL=database_url, REGISTRATION="open", **environment)
        clients = {name: SongsClient(service=service) for name in ("nobody", "ann", "bob")}
        for name in ("ann", "bob"):
            assert clients[name].register(name).status_code == 200
        owners = {"anonymous": "nobody", "ann": "ann", "bob": "bob", "ann and /apiv1": "ann"}
        ids = {name: clients[owner].upload(MP3S[name])["id"] for name, owner in owners.items()}
        key = bearer(ROOT) if environment else {}
        assert service.send(MP3S["ann and /apiv1"], headers=key).status_code == 200
        for _ in HASHES:
            service.work()
        fill(service, database_url)
        return World(service=service, clients=clients, ids=ids)

    return make


def fill(service: Service, database_url: str) -> None:
    """Let a second job of each song run, with all that a job may have. Write the history."""
    store = service.song_store
    for song in HASHES.values():
        job_id = RUNNING.job_id(song)
        job = Job.of(job_id, RUNNING, callback=Callback("https://example.com/"))
        service.queue.enqueue(job, request=Request(id="song-1", owner="user:1"))
        consumer, claim = service.claim()
        fragments = Fragments(job_id=job_id, tag="0123456789ab", stems=FOUR_STEMS, count=1, until_s=1.0)
        store.fragments.put(fragments, "bass", number=1, mp3=b"mp3")
        store.fragments.put_peaks(fragments, "bass", b"\0\0")
        consumer.renew(claim, progress=0.5, fragments=fragments)
        manifest = store.manifest(song)
        assert manifest
        store.put_peaks(song, "bass", manifest.stems["bass"], b"\0\0")
        store.put_analysis(song, b"{}")
        # The next worker takes the next job.
        service.redis.rename("toWorkers:own:test-worker", f"toWorkers:own:of-{song[:8]}")
    catalogue = open_catalogue(database_url)
    ends = service.history.read(limit=100)
    catalogue.history.add([Separation.decode(entry) for entry in ends.entries])
    catalogue.close()


def kind_of(answer: requests.Response) -> str:
    """Return the status, and the code of the error."""
    is_problem = answer.headers.get("Content-Type", "").startswith("application/problem+json")
    return f"{answer.status_code} {answer.json()['type'] if is_problem and answer.content else ''}"


def assert_looks_absent(world: World, route: Route, song: str, *, key: str) -> None:
    for job_id, absent in ((song, ABSENT), (RUNNING.job_id(song), RUNNING.job_id(ABSENT))):
        kwargs: dict[str, Any] = {"stream": route.rule.endswith("/events")}
        hidden = world.call(route.method, route.path(job_id), key=key, **kwargs)
        # The HEAD of a GET that changes something is refused for every song.
        is_refused = route.method == "HEAD" and "/remove/" in route.rule
        assert hidden.status_code in ((404, 405) if is_refused else (404,)), f"{route} shows {job_id}"
        missing = world.call(route.method, route.path(absent), key=key, **kwargs)
        assert kind_of(hidden) == kind_of(missing), route
        assert hidden.text.replace(job_id, absent).replace(song, ABSENT) == missing.text, route


def is_shown(world: World, route: Route, song: str, *, key: str) -> bool:
    """Return whether the route knows one of the two jobs of the song."""
    kinds = set()
    for job_id in (song, RUNNING.job_id(song)):
        answer = world.call(route.method, route.path(job_id), key=key, stream=True)
        # The callback of the route does not exist: an answer about it shows that the job does.
        kinds.add(kind_of(answer).replace("404 urn:msaas:error:callback_not_found", "200"))
        answer.close()
    return bool({"200 ", "200"} & kinds)


#: The machine API, by song. A key with a name sees what its name sent, and nothing else.
SHOWN = {"anonymous": True, "ann": False, "bob": False, "ann and /apiv1": True}
CALLERS = {"without keys": "", "a key without a name": PLAIN, "a key of an admin": ROOT, "a named key": NAMED}


def environment_of(key: str) -> dict[str, str]:
    return {"API_KEYS": KEYS} if key else {}


@pytest.mark.parametrize("song", HASHES)
@pytest.mark.parametrize("caller", CALLERS)
def test_machine_api_shows_a_song_unless_it_is_private(
    make_world: Callable[..., World], caller: str, song: str
) -> None:
    key, song_hash = CALLERS[caller], HASHES[song]
    world = make_world(**environment_of(key))
    shown = SHOWN[song] and key != NAMED
    for route in sorted(OF_A_HASH, key=lambda each: not each.is_safe):
        if not shown:
            assert_looks_absent(world, route, song_hash, key=key)
        elif route.is_safe:
            assert is_shown(world, route, song_hash, key=key), route
    answer = world.call("POST", "/apiv1/separate", key=key, json={"hash": song_hash, "model": "mdx_extra"})
    assert answer.status_code == (200 if shown else 404)
    if not shown:
        missing = world.call("POST", "/apiv1/separate", key=key, json={"hash": ABSENT, "model": "mdx_extra"})
        assert answer.text.replace(song_hash, ABSENT) == missing.text
        assert world.service.song_store.manifest(song_hash), "a stem of a hidden song was removed"


@pytest.mark.parametrize("caller", CALLERS)
def test_no_list_names_a_private_song(make_world: Callable[..., World], caller: str) -> None:
    key = CALLERS[caller]
    world = make_world(**environment_of(key))
    world.service.queue.enqueue(Job(job_id=Recipe(model="mdx_extra").job_id(HASHES["ann"])))
    world.service.queue.enqueue(Job(job_id=Recipe(model="mdx_extra").job_id(HASHES["anonymous"])))
    found: dict[str, set[str]] = {}
    for route in LISTS:
        text = world.call("GET", route.path(""), key=key).text
        found[route.rule] = {song for song, song_hash in HASHES.items() if song_hash in text}
        assert not found[route.rule] & {"ann", "bob"}, route
    if key in ("", PLAIN, ROOT):
        public = {"anonymous", "ann and /apiv1"}
        for rule in ("/apiv1/jobs", "/apiv1/bucket", "/apiv1/history"):
            assert found[rule] == public, rule
        assert found["/apiv1/queue"] == {"anonymous"}
    assert found["/songs/"] == {"anonymous"}
    assert found["/metrics"] == set()


# The songs API

SONGS_API = {
    ("nobody", "anonymous"): "read",
    ("nobody", "ann"): "",
    ("nobody", "bob"): "",
    ("ann", "anonymous"): "read",
    ("ann", "ann"): "all",
    ("ann", "bob"): "",
    ("bob", "anonymous"): "read",
    ("bob", "ann"): "",
    ("bob", "bob"): "all",
}


@pytest.mark.parametrize(("caller", "owner"), SONGS_API)
def test_songs_api_shows_own_and_anonymous_songs(
    make_world: Callable[..., World], caller: str, owner: str
) -> None:
    world, allowed = make_world(), SONGS_API[caller, owner]
    client, song_id = world.clients[caller], world.ids[owner]
    listed = {song["id"] for song in client.list()}
    assert (song_id in listed) is bool(allowed)
    for route in sorted(OF_A_SONG, key=lambda each: (not each.is_safe, each.method == "DELETE")):
        if allowed and route.rule.endswith(("/pieces", "/<number>")):
            # The job of this song has no fragments: it is done.
            continue
        answer = client.call(route.method, route.path(str(song_id)), json={"title": "x"}, stream=True)
        may = allowed == "all" or (allowed == "read" and route.is_safe)
        assert answer.status_code in ((200, 204) if may else (404,)), route
        if not may and route.method != "HEAD":
            missing = client.call(route.method, route.path("999999"), json={"title": "x"})
            assert answer.text.replace(str(song_id), "999999") == missing.text, route
        answer.close()
        if route.method == "DELETE":
            assert (song_id in {song["id"] for song in client.list()}) is (bool(allowed) and not may)


def test_upload_of_a_result_tells_nothing_without_the_token(make_world: Callable[..., World]) -> None:
    world = make_world(WORKER_TOKEN="a-token-of-workers")
    answers = {
        (answer.status_code, answer.text)
        for song_hash in (*HASHES.values(), ABSENT)
        for client in world.clients.values()
        for answer in [client.call("POST", OF_WORKERS.replace("<song>", song_hash))]
    }
    assert [status for status, _ in answers] == [401]


# Transitions


def test_posting_the_bytes_makes_a_private_song_known(
    songs_service: Service, visit: Callable[..., SongsClient]
) -> None:
    mp3, job = MP3S["ann"], f"/apiv1/job/{HASHES['ann']}"
    visit("ann").upload(mp3)
    assert songs_service.get(job).status_code == 404
    assert songs_service.send(mp3).status_code == 200
    assert songs_service.get(job).status_code == 200
    visit("bob").upload(mp3)
    assert songs_service.get(job).status_code == 200


def test_anonymous_upload_makes_a_private_song_known(
    songs_service: Service, visit: Callable[..., SongsClient]
) -> None:
    mp3, job = MP3S["ann"], f"/apiv1/job/{HASHES['ann']}"
    visit("ann").upload(mp3)
    visit().upload(mp3)
    assert songs_service.get(job).status_code == 200


def test_song_of_an_earlier_release_stays_known(
    songs_service: Service, visit: Callable[..., SongsClient]
) -> None:
    """It is in the store, and nothing in the queue tells its origin."""
    mp3, job = MP3S["ann"], f"/apiv1/job/{HASHES['ann']}"
    songs_service.send(mp3)
    songs_service.work()
    songs_service.redis.flushall()
    visit("ann").upload(mp3)
    assert songs_service.get(job).status_code == 200


def test_private_song_stays_hidden_after_its_deletion(
    songs_service: Service, visit: Callable[..., SongsClient]
) -> None:
    ann = visit("ann")
    song = ann.upload(MP3S["ann"])
    ann.delete(song["id"])
    assert songs_service.get(f"/apiv1/job/{HASHES['ann']}").status_code == 404
    assert songs_service.get("/apiv1/jobs").json() == {"jobs": []}
