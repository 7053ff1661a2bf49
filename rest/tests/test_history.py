"""`GET /apiv1/history`: filters, pages, scopes, and the database that is away."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from rest.tests.in_memory import client_on
from rest.tests.test_access import bearer
from rest.tests.test_scopes import ANN, KEYS, PLAIN, ROOT

from msaas.jobs import JobState
from msaas.queue.memory import InMemorySongRegistry
from msaas.queue.song_registry import Visibility
from msaas.separations import Separation
from msaas_catalogue import Catalogue, open_catalogue, prepare

SONGS = [digit * 64 for digit in "abc"]
#: 2026-11-29T12:00:00Z.
NOON = 1_795_953_600.0


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    url = f"sqlite:///{tmp_path / 'catalogue.db'}"
    prepare(url)
    catalogue = open_catalogue(url)
    ends = [JobState.DONE, JobState.FAILED, JobState.DONE]
    catalogue.history.add(
        [
            Separation(
                event_id=f"{song}@1",
                job_id=song,
                state=state,
                started_at=NOON + 60 * number - 10,
                finished_at=NOON + 60 * number,
                model="mdx" if number else "starter",
                options={"format": "flac"} if number else {},
                error_code="separation_failed" if state is JobState.FAILED else "",
            )
            for number, (song, state) in enumerate(zip(SONGS, ends, strict=True))
        ]
    )
    yield catalogue
    catalogue.close()


@pytest.fixture
def client(catalogue: Catalogue) -> FlaskClient:
    return client_on(catalogue=catalogue)


def found(client: FlaskClient, query: str = "", **kwargs: Any) -> list[str]:
    reply = client.get(f"/apiv1/history?{query}", **kwargs)
    assert reply.status_code == 200, reply.text
    return [each["songhash"] for each in reply.get_json()["separations"]]


def test_latest_end_comes_first(client: FlaskClient) -> None:
    assert found(client) == SONGS[::-1]


def test_separation_has_its_facts(client: FlaskClient) -> None:
    (first,) = client.get("/apiv1/history?state=failed").get_json()["separations"]
    assert first == {
        "songhash": SONGS[1],
        "state": "failed",
        "error": "separation_failed",
        "model": "mdx",
        "requested_model": None,
        "weights_sha256": None,
        "options": {"format": "flac"},
        "device": None,
        "attempts": 0,
        "audio_s": None,
        "work_s": 10.0,
        "queued_at": None,
        "started_at": "2026-11-29T12:00:50.000Z",
        "finished_at": "2026-11-29T12:01:00.000Z",
    }


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("state=done", [2, 0]),
        ("state=done,failed", [2, 1, 0]),
        ("state=cancelled", []),
        ("model=mdx", [2, 1]),
        (f"song={SONGS[1]}", [1]),
        (f"job={SONGS[2]}", [2]),
        ("since=2026-11-29T12:01:00Z", [2, 1]),
        ("since=2026-11-29T13:01:00%2B01:00", [2, 1]),
        ("since=2026-11-29T13:01:00+01:00", [2, 1]),
        ("since=2026-11-29T12:01:00", [2, 1]),
        ("until=2026-11-29T12:01:00Z", [0]),
        ("since=2026-11-29&until=2026-11-30", [2, 1, 0]),
        ("state=&model=&song=&cursor=&limit=", [2, 1, 0]),
    ],
)
def test_filters_choose_separations(client: FlaskClient, query: str, numbers: list[int]) -> None:
    assert found(client, query) == [SONGS[number] for number in numbers]


def test_pages_follow_each_other(client: FlaskClient) -> None:
    first = client.get("/apiv1/history?limit=2").get_json()
    assert [each["songhash"] for each in first["separations"]] == SONGS[:0:-1]
    last = client.get("/apiv1/history", query_string={"limit": 2, "cursor": first["next"]}).get_json()
    assert [each["songhash"] for each in last["separations"]] == SONGS[:1]
    assert "next" not in last


@pytest.mark.parametrize(
    "query",
    [
        "state=running",
        "limit=0",
        "limit=101",
        "limit=x",
        "cursor=x",
        "since=noon",
        "until=9",
        "song=a..b",
        "page=1",
    ],
)
def test_invalid_filter_is_400(client: FlaskClient, query: str) -> None:
    assert client.get(f"/apiv1/history?{query}").status_code == 400


def test_private_songs_are_left_out(catalogue: Catalogue) -> None:
    registry = InMemorySongRegistry()
    registry.request_song(SONGS[1], visibility=Visibility.PRIVATE)
    assert found(client_on(catalogue=catalogue, registry=registry)) == [SONGS[2], SONGS[0]]


def test_history_needs_an_admin(catalogue: Catalogue) -> None:
    client = client_on(catalogue=catalogue, api_keys=KEYS)
    assert client.get("/apiv1/history", headers=bearer(ANN)).status_code == 403
    for key in (ROOT, PLAIN):
        assert found(client, headers=bearer(key)) == SONGS[::-1]


def test_history_without_a_database_is_503() -> None:
    reply = client_on().get("/apiv1/history")
    assert (reply.status_code, reply.get_json()["type"]) == (503, "urn:msaas:error:database_unavailable")
