"""Users, sessions, songs and the history of separations, in SQL: SQLite, MariaDB or MySQL, PostgreSQL.

`open_catalogue(url)` returns a `Catalogue`, with one object for each kind of row. They take and return frozen
values and raise the errors of `msaas.errors`. `prepare(url)` makes or migrates the tables.
"""

from msaas_catalogue.catalogue import Catalogue, open_catalogue
from msaas_catalogue.migrating import prepare
from msaas_catalogue.values import (
    HistoryPage,
    HistoryQuery,
    Login,
    LoginSession,
    References,
    RemovedSong,
    Song,
    SongPage,
    SongQuery,
    User,
)

__all__ = [
    "Catalogue",
    "HistoryPage",
    "HistoryQuery",
    "Login",
    "LoginSession",
    "References",
    "RemovedSong",
    "Song",
    "SongPage",
    "SongQuery",
    "User",
    "open_catalogue",
    "prepare",
]
