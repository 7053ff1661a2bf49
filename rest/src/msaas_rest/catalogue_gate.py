"""The catalogue behind a gate: its tables are made or migrated before the first use."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from msaas.background import spawn
from msaas.errors import DatabaseUnavailable, Unavailable
from msaas.logs import get_logger

if TYPE_CHECKING:
    from msaas_catalogue import Catalogue

#: A request waits this long for the tables.
_PATIENCE_S = 3.0

log = get_logger()


def _do_nothing() -> None:
    pass


class CatalogueGate:
    """Opens the catalogue. While the database is away, each call of `open` lets a thread try again.

    Args:
        catalogue: None without a database.
        prepare: makes or migrates the tables. Raises `DatabaseUnavailable`.
    """

    def __init__(self, catalogue: "Catalogue | None", *, prepare: Callable[[], object] = _do_nothing) -> None:
        self._catalogue = catalogue
        self._prepare = prepare
        self._is_prepared = prepare is _do_nothing
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._reason = "The database is being prepared. Try again in 5 s."

    @property
    def exists(self) -> bool:
        """Whether this service has a database. It may be away."""
        return self._catalogue is not None

    def open(self) -> "Catalogue":
        """Return the catalogue, whose tables are there.

        Raises:
            DatabaseUnavailable: there is no database, or it is not prepared.
        """
        if self._catalogue is None:
            raise DatabaseUnavailable("This service has no database. Its operator can set DATABASE_URL.")
        if not self._is_prepared:
            self.start().join(_PATIENCE_S)
        if not self._is_prepared:
            raise DatabaseUnavailable(self._reason)
        return self._catalogue

    def start(self) -> threading.Thread:
        """Prepare the tables in a thread, unless one does so already. Return the thread."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = spawn(self._prepare_once, name="catalogue")
            return self._thread

    def _prepare_once(self) -> None:
        if self._catalogue is None or self._is_prepared:
            return
        try:
            self._prepare()
            self._is_prepared = True
            log.info("database_prepared")
        except Unavailable as error:
            self._reason = str(error)
            log.warning("database_preparation_failed", reason=str(error))
        except Exception:
            self._reason = "The database cannot be prepared. The log of the service has the cause."
            log.exception("database_preparation_failed")
