"""A catalogue of its own for each test, and a keeper in this process."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from msaas.queue.memory import InMemoryQueue
from msaas.storage.song_store import SongStore
from msaas_catalogue import Catalogue, open_catalogue, prepare
from msaas_keeper.__main__ import bootstrap
from msaas_keeper.settings import KeeperSettings


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'catalogue.db'}"
    prepare(url)
    return url


@pytest.fixture
def catalogue(url: str) -> Iterator[Catalogue]:
    with closing(open_catalogue(url)) as catalogue:
        yield catalogue


def start_housekeeping(
    settings: KeeperSettings, stopping: threading.Event, *, song_store: SongStore, catalogue: Catalogue | None
) -> None:
    """Start a keeper on an empty queue in memory."""
    queue = InMemoryQueue()
    bootstrap(
        settings,
        stopping,
        queue=queue,
        registry=queue.registry,
        history=queue.history,
        outbox=queue.outbox,
        song_store=song_store,
        catalogue=catalogue,
    )
