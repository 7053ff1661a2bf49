"""Time of `GET /songs/` over HTTP, of logged-in users one after another and at once. See `song_lists`.

A client keeps its connection, as a browser does, and reads the answer as bytes. It shares the cores with the
service and the database.
"""

import http.client
import itertools
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import requests
from bench.song_site import serving_songs
from bench.song_states import FIELDS
from rest.tests.service import Service

from msaas_catalogue import open_catalogue
from msaas_catalogue.database import Database
from msaas_catalogue.tables import UserRow

_PASSWORD = "correct horse"  # noqa: S105 - of the users of the measurement
_WARM_UP = 100
#: The page of a client without options, and that of the web page.
_PAGES = {
    "`GET /songs/`": "/songs/",
    "the first page of the web page": f"/songs/?fields={FIELDS}&sort=-created&limit=1000",
    "a page of 20": "/songs/?limit=20",
}
_CLIENTS = (1, 8)


def measure_requests(database_url: str, *, calls: int) -> Iterator[str]:
    """Start the service on this database, log all users in, and yield a row for each page and crowd."""
    names = _set_passwords(database_url)
    with serving_songs(database_url) as site:
        cookies = [_log_in(site.service, each, number=number) for number, each in enumerate(names)]
        for (page, path), clients in itertools.product(_PAGES.items(), _CLIENTS):
            yield f"{page} | {_measure(site.service.url, path, cookies, clients=clients, calls=calls)}"


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


def _log_in(service: Service, name: str, *, number: int) -> str:
    """Log in from an address of its own, as an address has twenty logins a minute. Return the cookie."""
    answer = requests.post(
        f"{service.url}/auth/login",
        data={"username": name, "password": _PASSWORD},
        headers={"X-Forwarded-For": f"10.0.0.{number + 1}"},
        timeout=60,
    )
    answer.raise_for_status()
    return "; ".join(f"{key}={value}" for key, value in answer.cookies.items())


def _measure(site: str, path: str, cookies: list[str], *, clients: int, calls: int) -> str:
    """Make requests of the users in turn, by so many clients at once. Return the cells of a row."""
    numbers = itertools.count()
    _Client(site, path, cookies).run(numbers, until=_WARM_UP)
    sizes = [_count_songs(site, path, cookie) for cookie in cookies]
    numbers = itertools.count()
    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as threads:
        crowd = [
            threads.submit(_Client(site, path, cookies).run, numbers, until=calls) for _ in range(clients)
        ]
        times = [each for client in crowd for each in client.result()]
    seconds = time.perf_counter() - started
    figures = (statistics.median(times), statistics.quantiles(times, n=100)[98], max(times))
    cells = " | ".join(f"{each:.1f}" for each in figures)
    songs = f"{min(sizes)} to {max(sizes)}" if min(sizes) != max(sizes) else f"{min(sizes)}"
    return f"{songs} | {clients} | {len(times)} | {cells} | {len(times) / seconds:.0f}"


def _count_songs(site: str, path: str, cookie: str) -> int:
    answer = requests.get(site + path, headers={"Cookie": cookie}, timeout=60)
    songs = answer.json()["data"]["songs"]
    if any(song["status"] != "SPLIT" for song in songs):
        raise AssertionError("A song is not shown as split.")
    return len(songs)


class _Client:
    """A connection that is kept."""

    def __init__(self, site: str, path: str, cookies: list[str]) -> None:
        address = urlsplit(site)
        self._connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
        self._path, self._cookies = path, cookies

    def run(self, numbers: Iterator[int], *, until: int) -> list[float]:
        """Return the times in ms of the requests with numbers below `until`."""
        times = []
        while (number := next(numbers)) < until:
            times.append(self._time(self._cookies[number % len(self._cookies)]))
        self._connection.close()
        return times

    def _time(self, cookie: str) -> float:
        started = time.perf_counter()
        self._connection.request("GET", self._path, headers={"Cookie": cookie})
        answer = self._connection.getresponse()
        body = answer.read()
        milliseconds = 1000 * (time.perf_counter() - started)
        if answer.status != 200:
            raise AssertionError(f"The answer is {answer.status}: {body[:200]!r}")
        return milliseconds
