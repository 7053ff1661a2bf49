"""Time of a list of songs on each database: 10,000 songs of 100 users, a page and the whole list of one user.

    python -m bench.song_lists                          # SQLite, MariaDB and PostgreSQL, started here
    python -m bench.song_lists sqlite --songs 100000
    python -m bench.song_lists --http                   # `GET /songs/` of a running service

Each call is `Songs.list_page`, without HTTP. The servers write without fsync, because a list does not write.
A hundredth of the songs is anonymous: every user sees them.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from bench.databases import database_of
from bench.report import machine
from bench.song_requests import measure_requests
from sqlalchemy import insert

from msaas_catalogue import Catalogue, SongPage, SongQuery, prepare
from msaas_catalogue.database import Database
from msaas_catalogue.songs import Songs
from msaas_catalogue.tables import OutcomeRow, SongRow, UserRow

_WORDS = ("river", "stone", "morning", "électrique", "été", "ночь", "blue", "seven", "glass", "silver", "ash")
_BATCH = 500
_HEAD = "| database | list | CPU ms | median ms | p99 ms | most ms |\n|---|---|---:|---:|---:|---:|"
_HTTP_HEAD = (
    "| database | list | songs | clients | requests | median ms | p99 ms | most ms | per second |\n"
    "|---|---|---:|---:|---:|---:|---:|---:|---:|"
)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Milliseconds of a call. `cpu` is the processor time of this process: it says more on a busy machine."""

    cpu: float
    median: float
    p99: float
    most: float


def _fill(database: Database, *, songs: int, users: int) -> list[int]:
    """Add users with songs that are split. Return the ids of the users."""
    choose = random.Random(7)
    with database.writing() as session:
        for number in range(users):
            session.add(UserRow(name=f"user{number}", password_hash="", created_at=0))
        session.flush()
        ids = [row.id for row in session.query(UserRow).order_by(UserRow.id)]
        rows = [_song(number, choose, ids) for number in range(songs)]
        for start in range(0, songs, _BATCH):
            batch = rows[start : start + _BATCH]
            session.execute(insert(SongRow), batch)
            session.execute(insert(OutcomeRow), [_outcome(str(row["job_id"])) for row in batch])
    return ids


def _song(number: int, choose: random.Random, users: list[int]) -> dict[str, object]:
    title = " ".join(choose.choices(_WORDS, k=3)) + f" {number}"
    song_hash = f"{choose.getrandbits(256):064x}"
    return {
        "title": title,
        "title_key": title.casefold(),
        "song_hash": song_hash,
        "job_id": song_hash,
        "recipe": "{}",
        "uploader_id": None if number % 100 == 0 else choose.choice(users),
        "created_at": number,
    }


def _outcome(job_id: str) -> dict[str, object]:
    return {
        "job_id": job_id,
        "is_split": True,
        "model": "htdemucs",
        "stems": '["drums", "bass", "other", "vocals"]',
    }


def _measure(call: Callable[[int], object], users: list[int], *, calls: int) -> Figures:
    for user in users[:20]:
        call(user)
    times, cpu = [], time.process_time()
    for number in range(calls):
        started = time.perf_counter()
        call(users[number % len(users)])
        times.append(1000 * (time.perf_counter() - started))
    return Figures(
        cpu=1000 * (time.process_time() - cpu) / calls,
        median=statistics.median(times),
        p99=statistics.quantiles(times, n=100)[98],
        most=max(times),
    )


def _list_page(songs: Songs, query: SongQuery, user: int) -> SongPage:
    return songs.list_page(query, user_id=user)


def _queries() -> dict[str, SongQuery]:
    return {
        "all songs of a user": SongQuery(),
        "a page of 20": SongQuery(limit=20),
        "a page of 20 by title": SongQuery(limit=20, sort="title"),
        "a page of 20 that a search finds": SongQuery(limit=20, search="river"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("kinds", nargs="*", default=["sqlite", "mariadb", "postgresql"])
    parser.add_argument("--songs", type=int, default=10_000)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--calls", type=int, default=2_000)
    parser.add_argument("--http", action="store_true", help="measure requests to a running service")
    options = parser.parse_args()
    print(f"{machine()}\n")
    print(_HTTP_HEAD if options.http else _HEAD)
    for kind in options.kinds:
        with database_of(kind) as url:
            prepare(url)
            database = Database(url)
            users = _fill(database, songs=options.songs, users=options.users)
            if options.http:
                rows = measure_requests(url, calls=options.calls)
            else:
                rows = _measure_calls(database, users, calls=options.calls)
            for row in rows:
                print(f"| {kind} | {row} |", flush=True)
            database.close()


def _measure_calls(database: Database, users: list[int], *, calls: int) -> Iterator[str]:
    songs = Catalogue(database).songs
    for name, query in _queries().items():
        found = _measure(partial(_list_page, songs, query), users, calls=calls)
        cells = (f"{each:.1f}" for each in (found.cpu, found.median, found.p99, found.most))
        yield f"{name} | {' | '.join(cells)}"


if __name__ == "__main__":
    main()
