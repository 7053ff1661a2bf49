"""A client of the songs API, with the cookies of a session."""

from dataclasses import dataclass, field
from typing import Any

import requests
from rest.tests.service import Service

PASSWORD = "correct horse"


@dataclass(kw_only=True)
class SongsClient:
    """An anonymous client until it registers or logs in."""

    service: Service
    session: requests.Session = field(default_factory=requests.Session)

    def call(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        return self.service.call(method, path, session=self.session, **kwargs)

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        return self.call("GET", path, **kwargs)

    def register(self, name: str, *, password: str = PASSWORD) -> requests.Response:
        fields = {"username": name, "password1": password, "password2": password}
        return self.call("POST", "/auth/register", data=fields)

    def login(self, name: str, *, password: str = PASSWORD) -> requests.Response:
        return self.call("POST", "/auth/login", data={"username": name, "password": password})

    def send(
        self, mp3: bytes, *, query: str = "", name: str = "song.mp3", **fields: str
    ) -> requests.Response:
        """Upload a song. `fields` are those of the form."""
        return self.call("POST", f"/songs/upload{query}", files={"file": (name, mp3)}, data=fields)

    def upload(self, mp3: bytes, *, title: str = "Morning", **fields: str) -> dict[str, Any]:
        """Upload a song, and return it."""
        answer = self.send(mp3, title=title, **fields)
        assert answer.status_code == 200, answer.text
        song: dict[str, Any] = answer.json()["data"]["song"]
        return song

    def show(self, song_id: int, *, query: str = "") -> dict[str, Any]:
        song: dict[str, Any] = self.get(f"/songs/{song_id}{query}").json()["data"]["song"]
        return song

    def list(self, query: str = "") -> list[dict[str, Any]]:
        songs: list[dict[str, Any]] = self.get(f"/songs/{query}").json()["data"]["songs"]
        return songs

    def delete(self, song_id: int) -> requests.Response:
        return self.call("DELETE", f"/songs/{song_id}")


def texts_of(answer: requests.Response) -> dict[str, list[str]]:
    """Return the errors of an answer with an envelope."""
    body = answer.json()
    assert body.keys() == {"ok", "errors"}
    assert body["ok"] is False
    errors: dict[str, list[str]] = body["errors"]
    return errors
