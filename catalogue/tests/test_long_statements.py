"""Statements of any length are sent at once."""

import time
from collections.abc import Callable

from sqlalchemy import String, bindparam, select

from msaas_catalogue.database import Database

_CHARACTERS = 20_000
#: Nagle's algorithm adds 40 ms.
_MAX_S = 0.03


def test_long_statement_does_not_wait_for_its_end(make_url: Callable[[], str]) -> None:
    database, times = Database(make_url()), []
    for _ in range(20):
        started = time.perf_counter()
        with database.reading() as session:
            session.execute(select(bindparam("text", "x" * _CHARACTERS, String)))
        times.append(time.perf_counter() - started)
    database.close()
    # The first ones may be sent at once, and other work of the machine may delay some.
    assert sorted(times[5:])[5] < _MAX_S, times
