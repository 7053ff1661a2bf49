"""Time of `GET /songs/` over HTTP, of logged-in users one after another and at once. See `song_lists`.

A client keeps its connection, as a browser does, and reads the answer as bytes. It shares the cores with the
service and the database.
"""

import http.client
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
from bench.song_states import FIELDS
from rest.tests.service import Service, start_service

from msaas_catalogue import open_catalogue
from msaas_catalogue.database import Database
from msaas_catalogue.tables import UserRow
from tests.servers import redis_running

_PASSWORD = "correct horse"  # noqa: S105 - of the users of the measurement
_WARM_UP = 100
#: The page of a client without options, and that of the web page.
_PAGES = {
    "`GET /songs/`": "/songs/",
    "the first page of the web page": f"/songs/?fields={FIELDS}&sort=-created&limit=1000",
    "a page of 20": "/songs/?limit=20",
}
_CLIENTS = (1, 8)


@dataclass(frozen=True)
class User:
    cookie: str


def measure_requests(database_url: str, *, calls: int) -> Iterator[str]:
    """Start the service on this database, log all users in, and yield a row for each page and crowd."""
    names = _set_passwords(database_url)
    with tempfile.TemporaryDirectory() as name, redis_running(Path(name) / "redis") as redis:
        store = Path(name) / "store"
        store.mkdir()
        environment = {
            "REDIS_HOST": redis.address.host,
            "REDIS_PORT": str(redis.address.port),
            "STORE_DIR": str(store),
            "DATABASE_URL": database_url,
            "TRUSTED_PROXIES": "127.0.0.1",
        }
        service = start_service(Path(name), **environment)
        try:
            users = [_log_in(service, each, number=number) for number, each in enumerate(names)]
            for (page, path), clients in itertools.product(_PAGES.items(), _CLIENTS):
                yield f"{page} | {_measure(service.url, path, users, clients=clients, calls=calls)}"
        finally:
            service.kill()


def _set_passwords(url: str) -> list[str]:
    """Give every user the same password. Return their names."""
    catalogue = open_catalogue(url)
    catalogue.accounts.register("model", password=_PASSWORD, repeated=_PASSWORD)
    catalogue.close()
    database = Database(url)
    with database.writing() as session:
        model = session.query(UserRow).filter_by(name="model").one()
        others = session.query(UserRow).filter(UserRow.id != model.id)
        others.update({UserRow.password_hash: model.password_hash})
        names = [row.name for row in others]
    database.close()
    return names


def _log_in(service: Service, name: str, *, number: int) -> User:
    """Log in from an address of its own: twenty logins a minute of an address are admitted."""
    answer = requests.post(
        f"{service.url}/auth/login",
        data={"username": name, "password": _PASSWORD},
        headers={"X-Forwarded-For": f"10.0.0.{number + 1}"},
        timeout=60,
    )
    answer.raise_for_status()
    return User("; ".join(f"{key}={value}" for key, value in answer.cookies.items()))


def _measure(site: str, path: str, users: list[User], *, clients: int, calls: int) -> str:
    """Make requests of the users in turn, by so many clients at once. Return the cells of a row."""
    numbers = itertools.count()
    _Client(site, path, users).run(numbers, until=_WARM_UP)
    sizes = [_count_songs(site, path, user) for user in users]
    numbers = itertools.count()
    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as threads:
        crowd = [threads.submit(_Client(site, path, users).run, numbers, until=calls) for _ in range(clients)]
        times = [each for client in crowd for each in client.result()]
    seconds = time.perf_counter() - started
    figures = (statistics.median(times), statistics.quantiles(times, n=100)[98], max(times))
    cells = " | ".join(f"{each:.1f}" for each in figures)
    songs = f"{min(sizes)} to {max(sizes)}" if min(sizes) != max(sizes) else f"{min(sizes)}"
    return f"{songs} | {clients} | {len(times)} | {cells} | {len(times) / seconds:.0f}"


def _count_songs(site: str, path: str, user: User) -> int:
    answer = requests.get(site + path, headers={"Cookie": user.cookie}, timeout=60)
    songs = answer.json()["data"]["songs"]
    if any(song["status"] != "SPLIT" for song in songs):
        raise AssertionError("A song is not shown as split.")
    return len(songs)


class _Client:
    """A connection that is kept."""

    def __init__(self, site: str, path: str, users: list[User]) -> None:
        address = urlsplit(site)
        self._connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
        self._path, self._users = path, users

    def run(self, numbers: Iterator[int], *, until: int) -> list[float]:
        """Return the times in ms of the requests with numbers below `until`."""
        times = []
        while (number := next(numbers)) < until:
            times.append(self._time(self._users[number % len(self._users)]))
        self._connection.close()
        return times

    def _time(self, user: User) -> float:
        started = time.perf_counter()
        self._connection.request("GET", self._path, headers={"Cookie": user.cookie})
        answer = self._connection.getresponse()
        body = answer.read()
        milliseconds = 1000 * (time.perf_counter() - started)
        if answer.status != 200:
            raise AssertionError(f"The answer is {answer.status}: {body[:200]!r}")
        return milliseconds
