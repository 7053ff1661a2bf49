"""`MAX_SONGS_PER_UPLOADER`: the songs of an account, and of all anonymous clients together."""

import http.client
import time

import requests
from rest.tests.conftest import Start
from rest.tests.service import FRAME
from rest.tests.songs_client import SongsClient, texts_of

from msaas.songs import song_hash

MP3 = FRAME * 100
OTHER = FRAME * 200


def test_uploader_has_as_many_songs_as_allowed(shared: Start, database_url: str) -> None:
    service = shared(DATABASE_URL=database_url, MAX_SONGS_PER_UPLOADER="1")
    ann, anonymous = SongsClient(service=service), SongsClient(service=service)
    ann.register("ann")
    song = ann.upload(MP3)
    anonymous.upload(MP3)
    # The song that the client has counts again.
    delete, log_in = "Delete songs", "Log in"
    for client, mp3, advice in ((ann, MP3, delete), (ann, OTHER, delete), (anonymous, OTHER, log_in)):
        answer = client.send(mp3)
        assert answer.status_code == 403
        [text] = texts_of(answer)["general"]
        assert "limit of 1 songs" in text
        assert advice in text
    assert len(list(service.song_store.songs())) == 1
    assert ann.delete(song["id"]).status_code == 200
    ann.upload(OTHER)


def test_limit_of_songs_refuses_before_the_body_is_read(shared: Start, database_url: str) -> None:
    service = shared(DATABASE_URL=database_url, MAX_SONGS_PER_UPLOADER="1")
    SongsClient(service=service).upload(MP3)
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=20)
    connection.putrequest("POST", "/songs/upload")
    connection.putheader("Content-Type", "multipart/form-data; boundary=x")
    connection.putheader("Content-Length", "1000000")
    connection.endheaders()
    assert connection.getresponse().status == 403


def test_upload_that_reaches_the_limit_meanwhile_leaves_nothing(shared: Start, database_url: str) -> None:
    """Both uploads have begun before one of them ends."""
    service = shared(DATABASE_URL=database_url, MAX_SONGS_PER_UPLOADER="1")
    form = requests.Request("POST", service.url, files={"file": ("a.mp3", OTHER)}).prepare()
    assert isinstance(form.body, bytes)
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=20)
    connection.putrequest("POST", "/songs/upload")
    for name in ("Content-Type", "Content-Length"):
        connection.putheader(name, form.headers[name])
    connection.endheaders(form.body[:1000])
    # The service receives a body after its checks.
    time.sleep(0.5)
    SongsClient(service=service).upload(MP3)
    connection.send(form.body[1000:])
    assert connection.getresponse().status == 403
    assert [found.key for found in service.song_store.songs()] == [f"{song_hash(MP3)}.mp3"]
    assert len(SongsClient(service=service).list()) == 1
