"""A client of the songs API: `client.py --addr=URL integration` walks through it, and prints each step.

Each other command calls one route. The session is kept in a file of cookies.
"""

import json
import secrets
import sys
import time
from argparse import ArgumentParser, Namespace
from contextlib import suppress
from http.cookiejar import LoadError, MozillaCookieJar
from pathlib import Path
from typing import Any

import requests

SONG = min((Path(__file__).parents[1] / "data").glob("*.mp3"))
PARTS = ("song", "bass", "drums", "other", "vocals")
_TIMEOUT_S = 60
_POLL_S = 2.0
_SPLIT_S = 600


class Client:
    """Calls the API. A call that fails ends the program with the errors of the answer."""

    def __init__(self, addr: str, *, jar: MozillaCookieJar | None = None) -> None:
        self._addr = addr.rstrip("/") if "://" in addr else f"http://{addr.rstrip('/')}"
        self._session = requests.Session()
        if jar is not None:
            self._session.cookies = jar  # type: ignore[assignment]

    def call(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        try:
            answer = self._session.request(method, self._addr + path, timeout=_TIMEOUT_S, **kwargs)
        except requests.RequestException as error:
            sys.exit(f"{method} {path} failed: no reply from {self._addr} ({type(error).__name__})")
        if not answer.ok:
            sys.exit(f"{method} {path} failed: {answer.status_code} {answer.text.strip()}")
        return answer

    def register(self, name: str, password: str) -> dict[str, Any]:
        fields = {"username": name, "password1": password, "password2": password}
        return self._json("POST", "/auth/register", data=fields)

    def login(self, name: str, password: str) -> dict[str, Any]:
        return self._json("POST", "/auth/login", data={"username": name, "password": password})

    def logout(self) -> dict[str, Any]:
        return self._json("POST", "/auth/logout")

    def upload(self, file: Path, *, title: str = "") -> dict[str, Any]:
        with open(file, "rb") as song:
            answer = self._json("POST", "/songs/upload", files={"file": song}, data={"title": title})
        return dict(answer["data"]["song"])

    def songs(self) -> list[dict[str, Any]]:
        return list(self._json("GET", "/songs/")["data"]["songs"])

    def song(self, song_id: int, *, fields: str = "") -> dict[str, Any]:
        answer = self._json("GET", f"/songs/{song_id}", params={"fields": fields})
        return dict(answer["data"]["song"])

    def rename(self, song_id: int, title: str) -> dict[str, Any]:
        return dict(self._json("PATCH", f"/songs/{song_id}", json={"title": title})["data"]["song"])

    def delete(self, song_id: int) -> dict[str, Any]:
        return self._json("DELETE", f"/songs/{song_id}")

    def part(self, song_id: int, part: str) -> bytes:
        return self.call("GET", f"/songs/{song_id}/{part}.mp3").content

    def delete_account(self, password: str) -> dict[str, Any]:
        return self._json("DELETE", "/auth/account", data={"password": password})

    def _json(self, method: str, path: str, **kwargs: Any) -> dict[str, Any]:
        return dict(self.call(method, path, **kwargs).json())


def say(text: object) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def check(condition: bool, text: str) -> None:
    if not condition:
        sys.exit(f"failed: {text}")
    say(f"ok: {text}")


def integrate(client: Client, options: Namespace) -> None:
    """Register, upload, wait, fetch the parts, delete, log out and in, delete the account."""
    name, password = f"client-{secrets.token_hex(4)}", secrets.token_hex(8)
    check(client.register(name, password) == {"ok": True, "errors": {}}, f"registered {name}")
    before = client.songs()
    song = client.upload(options.file, title="Integration")
    check(song == client.song(song["id"]), f"uploaded song {song['id']}")
    check(
        [each["id"] for each in client.songs()] == [*(each["id"] for each in before), song["id"]],
        "listed the song",
    )
    wait_until_split(client, song["id"])
    for part in PARTS:
        content = client.part(song["id"], part)
        check(len(content) > 0, f"fetched {part}: {len(content)} bytes")
    check(client.part(song["id"], "song") == options.file.read_bytes(), "the song is the file that was sent")
    check(client.rename(song["id"], "Renamed")["title"] == "Renamed", "renamed the song")
    check(client.delete(song["id"]) == {"ok": True, "errors": {}}, "deleted the song")
    for _ in range(2):
        check(client.songs() == before, "listed the other songs")
    check(client.logout() == {"ok": True, "errors": {}}, "logged out")
    check(client.login(name, password) == {"ok": True, "errors": {}}, "logged in")
    check(client.delete_account(password) == {"ok": True, "errors": {}}, "deleted the account")
    say("integration passed")


def wait_until_split(client: Client, song_id: int) -> None:
    deadline, last = time.monotonic() + _SPLIT_S, ""
    while last != "SPLIT":
        song = client.song(song_id, fields="error")
        if song["error"] or time.monotonic() > deadline:
            sys.exit(f"failed: song {song_id} is {song['status']}: {song['error']}")
        if song["status"] != last:
            last = song["status"]
            say(f"song {song_id} is {last}")
        if last != "SPLIT":
            time.sleep(_POLL_S)


def _print(value: object) -> None:
    say(json.dumps(value, ensure_ascii=False))


def _fetch(client: Client, options: Namespace) -> None:
    content = client.part(options.id, options.part)
    options.out.write_bytes(content)
    say(f"{options.out}: {len(content)} bytes")


def _follow(client: Client, options: Namespace) -> None:
    answer = client.call("GET", f"/songs/{options.id}/events", stream=True)
    for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
        if line.startswith("data: "):
            say(line.removeprefix("data: "))


def parse() -> Namespace:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--addr", default="http://localhost:5000", help="URL of the service")
    parser.add_argument("--jar", type=Path, default=Path("cookies.txt"), help="file of the session")
    commands = parser.add_subparsers(metavar="command", required=True)

    def add(name: str, run: Any, *arguments: str, text: str) -> ArgumentParser:
        command = commands.add_parser(name, help=text)
        for argument in arguments:
            command.add_argument(argument, type=int if argument == "id" else str)
        command.set_defaults(run=run, command=name)
        return command

    walk = add("integration", integrate, text="walk through the API, and print each step")
    walk.add_argument("--file", type=Path, default=SONG)
    add("register", lambda c, o: _print(c.register(o.name, o.password)), "name", "password", text="register")
    add("login", lambda c, o: _print(c.login(o.name, o.password)), "name", "password", text="log in")
    add("logout", lambda c, o: _print(c.logout()), text="log out")
    add("account", lambda c, o: _print(c.call("GET", "/auth/account").json()), text="show the account")
    add("sessions", lambda c, o: _print(c.call("GET", "/auth/sessions").json()), text="list the sessions")
    add("songs", lambda c, o: _print(c.songs()), text="list the songs")
    add("show", lambda c, o: _print(c.song(o.id, fields="error,progress")), "id", text="show a song")
    upload = add("upload", lambda c, o: _print(c.upload(o.file, title=o.title)), text="upload a song")
    upload.add_argument("file", type=Path)
    upload.add_argument("--title", default="")
    add("rename", lambda c, o: _print(c.rename(o.id, o.title)), "id", "title", text="rename a song")
    add("delete", lambda c, o: _print(c.delete(o.id)), "id", text="delete a song")
    add("fetch", _fetch, "id", "part", text="fetch a part").add_argument("out", type=Path)
    add(
        "peaks",
        lambda c, o: _print(c.call("GET", f"/songs/{o.id}/peaks.json").json()),
        "id",
        text="show peaks",
    )
    add(
        "analysis",
        lambda c, o: _print(c.call("GET", f"/songs/{o.id}/analysis.json").json()),
        "id",
        text="show loudness, key, tempo and beats",
    )
    add("events", _follow, "id", text="follow a song")
    return parser.parse_args()


def main() -> None:
    options = parse()
    if options.command == "integration":
        return options.run(Client(options.addr), options)
    jar = MozillaCookieJar(options.jar)
    with suppress(FileNotFoundError, LoadError):
        jar.load(ignore_discard=True)
    options.run(Client(options.addr, jar=jar), options)
    jar.save(ignore_discard=True)


if __name__ == "__main__":
    main()
