"""`POST /songs/upload` with the URL of a song in place of the file."""

from collections.abc import Iterator

import pytest
import requests
from rest.tests.conftest import Start
from rest.tests.service import FRAME
from rest.tests.song_site import SongSite, file, redirect
from rest.tests.songs_client import SongsClient, texts_of

from msaas.recipe import Recipe
from msaas.songs import song_hash

MP3 = FRAME * 200
ANSWERS = {
    "/Night%20train.mp3": file(MP3),
    "/text": file(b"not a song"),
    "/large": file(bytes(1024 * 1024 + 1)),
    "/metadata": redirect("http://169.254.169.254/latest"),
}


@pytest.fixture
def ann(shared: Start, database_url: str) -> SongsClient:
    """A user of a service that may fetch from this machine."""
    limits = {"FETCH_ALLOW_PRIVATE": "127.0.0.0/8", "MAX_SONG_UPLOAD_MB": "1"}
    client = SongsClient(service=shared(DEBUG_ENDPOINTS="1", DATABASE_URL=database_url, **limits))
    assert client.register("ann").status_code == 200
    return client


@pytest.fixture
def site() -> Iterator[SongSite]:
    with SongSite(ANSWERS) as site:
        yield site


def send(client: SongsClient, **fields: str) -> requests.Response:
    parts = {name: (None, text) for name, text in fields.items()}
    return client.call("POST", "/songs/upload", files=parts)


def test_song_of_a_url_has_the_name_of_its_file(ann: SongsClient, site: SongSite) -> None:
    song = send(ann, url=site.url("/Night%20train.mp3")).json()["data"]["song"]
    assert (song["title"], song["hash"]) == ("Night train", song_hash(MP3))
    assert ann.get(f"/songs/{song['id']}/song.mp3").content == MP3


def test_song_of_a_url_has_title_and_options(ann: SongsClient, site: SongSite) -> None:
    answer = send(ann, url=site.url("/Night%20train.mp3"), title="Train", two_stems="vocals")
    song = ann.show(answer.json()["data"]["song"]["id"], query="?fields=job_id")
    assert (song["title"], song["job_id"]) == ("Train", Recipe(two_stems="vocals").job_id(song_hash(MP3)))


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [("/text", 415, "file"), ("/large", 413, "file"), ("/metadata", 422, "url"), ("/absent", 422, "url")],
)
def test_url_that_is_refused_leaves_no_song(
    ann: SongsClient, site: SongSite, path: str, status: int, field: str
) -> None:
    answer = send(ann, url=site.url(path))
    assert (answer.status_code, list(texts_of(answer))) == (status, [field])
    assert ann.list() == []


def test_file_and_url_in_one_form_are_refused(ann: SongsClient, site: SongSite) -> None:
    answer = ann.send(MP3, url=site.url("/Night%20train.mp3"))
    assert (answer.status_code, list(texts_of(answer))) == (400, ["url"])
    assert ann.list() == []


def test_empty_url_is_none(ann: SongsClient) -> None:
    assert ann.send(MP3, url=" ").status_code == 200
    assert list(texts_of(send(ann, url=""))) == ["file"]
