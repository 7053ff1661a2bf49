"""A new database of each kind, for measurements."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.databases import database_running


@contextmanager
def database_of(kind: str) -> Iterator[str]:
    """Yield the URL of an empty database. Servers end with the context."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{Path(folder) / 'catalogue.db'}"
    else:
        with database_running(kind) as server:
            yield server.make_database()
