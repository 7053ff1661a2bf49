"""A worker starts while its store fails: `rest` creates the buckets when the store is back."""

import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from msaas.errors import MsaasError, ObjectNotFound, StoreUnavailable
from msaas.queue.memory import InMemoryQueue
from msaas.storage.memory import InMemoryStore
from msaas.storage.song_store import SongStore
from msaas_worker.__main__ import bootstrap
from msaas_worker.scratch import Scratch
from msaas_worker.settings import WorkerSettings
from tests.faults.quick_engine import QuickSeparators


class FailingStore(InMemoryStore):
    """Raises this error when a bucket is made."""

    def __init__(self, error: MsaasError) -> None:
        super().__init__()
        self._error = error

    def make_bucket(self, bucket: str) -> None:
        raise self._error


@pytest.mark.parametrize(
    "error", [StoreUnavailable("The store is off."), ObjectNotFound("The folder is gone.")]
)
def test_worker_starts_without_a_store(tmp_path: Path, error: MsaasError) -> None:
    queue, stopping = InMemoryQueue(), threading.Event()
    with capture_logs() as lines:
        bootstrap(
            WorkerSettings(),
            Scratch(tmp_path),
            stopping,
            name="w1",
            queue=queue,
            outbox=queue.outbox,
            song_store=SongStore(FailingStore(error)),
            separators=QuickSeparators(),
        )
    stopping.set()
    assert [(line["event"], line["reason"]) for line in lines if line["log_level"] == "warning"] == [
        ("store_unavailable", error.detail)
    ]
