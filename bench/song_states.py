"""Time of `GET /songs/` for 10,000 songs that are split, over HTTP, on a running service.

    python -m bench.song_states                          # SQLite and PostgreSQL, started here
    python -m bench.song_states sqlite --songs 1000

The songs are anonymous, with manifests in a directory store. State `first` has neither records in Redis nor
notes in the database: the store is read. `notes` has notes only, as when all records have expired, and
`records` has both.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator

import requests
from bench.databases import database_of
from bench.report import machine
from bench.song_site import serving_songs
from sqlalchemy import insert

from msaas.manifest import Manifest, StemFile
from msaas.models import STEMS
from msaas.storage.directory import DirectoryStore
from msaas.storage.song_store import SongStore
from msaas_catalogue import prepare
from msaas_catalogue.database import Database
from msaas_catalogue.tables import OutcomeRow, SongRow
from tests.servers import RedisServer

FIELDS = "created_at,job_id,error,progress,position,duration_s,model,stems"
_FOUR = STEMS[:4]
_BATCH = 500


def _job(number: int) -> str:
    return f"{number:064x}"


def _fill(url: str, store: SongStore, *, songs: int) -> None:
    database = Database(url)
    rows = [
        {
            "title": f"Song {number}",
            "title_key": f"song {number}",
            "song_hash": _job(number),
            "job_id": _job(number),
            "recipe": "{}",
            "created_at": number,
        }
        for number in range(songs)
    ]
    with database.writing() as session:
        for start in range(0, songs, _BATCH):
            session.execute(insert(SongRow), rows[start : start + _BATCH])
    database.close()
    store.prepare()
    for number in range(songs):
        store.put_manifest(_manifest(_job(number)))


def _manifest(job_id: str) -> Manifest:
    return Manifest(
        job_id=job_id,
        model="htdemucs",
        weights_sha256="0" * 64,
        engine="bench",
        samples=1,
        samplerate=44100,
        stems={stem: StemFile(f"{job_id}-{stem}.mp3", 1, "0" * 64) for stem in _FOUR},
    )


def _add_records(redis: RedisServer, *, songs: int) -> None:
    pipeline = redis.client().pipeline()
    for number in range(songs):
        fields = {"state": "done", "progress": "1", "model": "htdemucs", "stems": json.dumps(_FOUR)}
        pipeline.hset(f"job:{_job(number)}", mapping=fields)
    pipeline.execute()


def _time(url: str) -> float:
    started = time.perf_counter()
    songs = requests.get(url, timeout=600).json()["data"]["songs"]
    seconds = time.perf_counter() - started
    if any(song["status"] != "SPLIT" or set(song["stems"]) != set(_FOUR) for song in songs):
        raise AssertionError("A song is not shown as split.")
    return 1000 * seconds


def _measure(site: str, database_url: str, redis: RedisServer, *, songs: int, calls: int) -> Iterator[str]:
    pages = {"default": "", "1000": "&limit=1000"}
    urls = {name: f"{site}/songs/?fields={FIELDS}{limit}" for name, limit in pages.items()}
    for name, url in urls.items():
        _forget_notes(database_url)
        yield _row(name, "first", [_time(url)])
    for state in ("notes", "records"):
        if state == "records":
            _add_records(redis, songs=songs)
        for name, url in urls.items():
            yield _row(name, state, [_time(url) for _ in range(calls + 1)][1:])


def _forget_notes(url: str) -> None:
    database = Database(url)
    with database.writing() as session:
        session.query(OutcomeRow).delete()
    database.close()


def _row(page: str, state: str, times: list[float]) -> str:
    return f"{page} | {state} | {len(times)} | {statistics.median(times):.0f} | {max(times):.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("kinds", nargs="*", default=["sqlite", "postgresql"])
    parser.add_argument("--songs", type=int, default=10_000)
    parser.add_argument("--calls", type=int, default=20)
    options = parser.parse_args()
    print(f"{machine()}\n")
    print("| database | page | state | calls | median ms | most ms |\n|---|---|---|---:|---:|---:|")
    for kind in options.kinds:
        with database_of(kind) as url:
            prepare(url)
            with serving_songs(url) as site:
                _fill(url, SongStore(DirectoryStore(site.store)), songs=options.songs)
                rows = _measure(site.service.url, url, site.redis, songs=options.songs, calls=options.calls)
                for row in rows:
                    print(f"| {kind} | {row}", flush=True)


if __name__ == "__main__":
    main()
