"""An account of the songs API in the cluster: its songs are private, and go through RabbitMQ."""

import contextlib
import secrets
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.cluster.kube import Api

_HTTP_S = 60


@dataclass(frozen=True)
class Account:
    """`register` begins a session."""

    api: Api
    session: requests.Session = field(default_factory=requests.Session)

    def register(self) -> None:
        password = secrets.token_hex(12)
        fields = {"username": f"u{secrets.token_hex(6)}", "password1": password, "password2": password}
        answer = self.session.post(f"{self.api.url}/auth/register", data=fields, timeout=_HTTP_S)
        assert answer.status_code == 200, answer.text

    def upload(self, mp3: bytes) -> dict[str, Any]:
        answer = self.session.post(
            f"{self.api.url}/songs/upload", files={"file": ("song.mp3", mp3)}, timeout=_HTTP_S
        )
        assert answer.status_code == 200, answer.text
        song: dict[str, Any] = answer.json()["data"]["song"]
        return song

    def song(self, song_id: int) -> dict[str, Any]:
        """Return a song with its error, with the status `unknown` while the API does not answer."""
        with contextlib.suppress(requests.RequestException):
            answer = self.session.get(
                f"{self.api.url}/songs/{song_id}", params={"fields": "error"}, timeout=_HTTP_S
            )
            if answer.status_code == 200:
                found: dict[str, Any] = answer.json()["data"]["song"]
                return found
        return {"status": "unknown", "error": None}

    def is_split(self, song_id: int) -> bool:
        song = self.song(song_id)
        assert not song["error"], song
        return bool(song["status"] == "SPLIT")

    def list_status(self) -> int:
        """Return the status code of the list of songs, 0 without an answer."""
        with contextlib.suppress(requests.RequestException):
            return self.session.get(f"{self.api.url}/songs/", timeout=_HTTP_S).status_code
        return 0

    def part(self, song_id: int, name: str) -> bytes:
        answer = self.session.get(f"{self.api.url}/songs/{song_id}/{name}.mp3", timeout=_HTTP_S)
        assert answer.status_code == 200, answer.text
        return answer.content
