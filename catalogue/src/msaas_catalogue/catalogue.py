"""The catalogue on one database."""

import time
from collections.abc import Callable

from msaas_catalogue.accounts import Accounts
from msaas_catalogue.database import Database
from msaas_catalogue.history import History
from msaas_catalogue.outcomes import OutcomeTable
from msaas_catalogue.passwords import Passwords
from msaas_catalogue.sessions import Sessions
from msaas_catalogue.songs import Songs


class Catalogue:
    """Accounts, sessions, songs, outcomes and history on one connection pool."""

    def __init__(
        self,
        database: Database,
        *,
        passwords: Passwords | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self.accounts = Accounts(database, passwords=passwords or Passwords(), clock=clock)
        self.sessions = Sessions(database, clock=clock)
        self.songs = Songs(database, clock=clock)
        self.outcomes = OutcomeTable(database)
        self.history = History(database)

    def ping(self) -> None:
        """Raises `DatabaseUnavailable`, also for a database without tables."""
        self._database.ping()

    def close(self) -> None:
        """Close the connections."""
        self._database.close()


def open_catalogue(
    url: str, *, passwords: Passwords | None = None, clock: Callable[[], float] = time.time
) -> Catalogue:
    """Return the catalogue at this URL. Nothing is sent before its first use.

    Raises:
        MalformedSettings: the URL is invalid.
    """
    return Catalogue(Database(url), passwords=passwords, clock=clock)
