"""Time of failed logins over HTTP: of names that exist, with a wrong password, and of names that do not.

    python -m bench.login_times                 # 200 of each, in turn, on SQLite

Each login has a name and an address of its own, because five a minute of a name and twenty of an address are
admitted. The order within a pair is random. AUC is the chance that a login of an unknown name takes longer
than one of a known name. If nothing tells the two apart, it is near 0.5.
"""

import argparse
import math
import random
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import requests
from bench.report import machine
from bench.song_site import serving_songs
from sqlalchemy import insert

from msaas_catalogue import open_catalogue, prepare
from msaas_catalogue.database import Database
from msaas_catalogue.tables import UserRow

_PASSWORD, _WRONG = "correct horse", "wrong horse"
_RESAMPLES = 4000
_CONFIDENCE_PERCENT = [2.5, 97.5]


def _add_users(url: str, *, users: int) -> None:
    """Register a user, and give the others the same password."""
    catalogue = open_catalogue(url)
    catalogue.accounts.register("first", password=_PASSWORD, repeated=_PASSWORD)
    catalogue.close()
    database = Database(url)
    with database.writing() as session:
        hashed = session.query(UserRow).one().password_hash
        names = [f"known{number}" for number in range(users)]
        session.execute(
            insert(UserRow), [{"name": name, "password_hash": hashed, "created_at": 0} for name in names]
        )
    database.close()


def _milliseconds(client: requests.Session, site: str, name: str, address: str) -> float:
    fields = {"username": name, "password": _WRONG}
    started = time.perf_counter()
    answer = client.post(f"{site}/auth/login", data=fields, headers={"X-Forwarded-For": address}, timeout=60)
    seconds = time.perf_counter() - started
    if answer.status_code != 401:
        raise AssertionError(f"The answer is {answer.status_code}, not 401.")
    return 1000 * seconds


def _measure(site: str, *, logins: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {"known": [], "unknown": []}
    choose, client, calls = random.Random(7), requests.Session(), 0
    for number in range(logins):
        for kind in choose.sample(sorted(times), k=2):
            address = f"10.0.{calls // 250}.{calls % 250 + 1}"
            times[kind].append(_milliseconds(client, site, f"{kind}{number}", address))
            calls += 1
    return times


def _rank_test(known: list[float], unknown: list[float]) -> tuple[float, float]:
    """Return AUC and the two-sided p of the test of Mann and Whitney, by the normal approximation."""
    first, second = len(known), len(unknown)
    larger = sum(each > other for each in unknown for other in known)
    equal = sum(each == other for each in unknown for other in known)
    auc = (larger + equal / 2) / (first * second)
    deviation = math.sqrt((first + second + 1) / (12 * first * second))
    return auc, math.erfc(abs(auc - 0.5) / deviation / math.sqrt(2))


def _interval(known: list[float], unknown: list[float]) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the difference of the medians, unknown less known."""
    choose = np.random.default_rng(7)
    medians = [
        np.median(choose.choice(times, size=(_RESAMPLES, len(times))), axis=1) for times in (unknown, known)
    ]
    low, high = np.percentile(medians[0] - medians[1], _CONFIDENCE_PERCENT)
    return float(low), float(high)


def _report(times: dict[str, list[float]]) -> None:
    print("| name | logins | first quartile ms | median ms | third quartile ms |\n|---|---:|---:|---:|---:|")
    for kind, found in times.items():
        quartiles = " | ".join(f"{each:.1f}" for each in statistics.quantiles(found, n=4))
        print(f"| {kind} | {len(found)} | {quartiles} |")
    known, unknown = times["known"], times["unknown"]
    auc, chance = _rank_test(known, unknown)
    low, high = _interval(known, unknown)
    print(f"\nAUC {auc:.3f}, p {chance:.2f}. Difference of the medians: {low:+.1f} to {high:+.1f} ms (95 %).")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--logins", type=int, default=200)
    options = parser.parse_args()
    print(f"{machine()}\n")
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'catalogue.db'}"
        prepare(url)
        _add_users(url, users=options.logins)
        with serving_songs(url) as site:
            _report(_measure(site.service.url, logins=options.logins))


if __name__ == "__main__":
    main()
