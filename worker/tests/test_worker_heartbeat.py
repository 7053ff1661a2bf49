"""The heartbeat file of a worker: its age is the liveness probe."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from worker.tests.songs import song_mp3

from msaas.heartbeat import EVERY_S
from msaas.queue.memory import InMemoryOutbox, InMemoryQueue
from msaas.queue.outbox import Delivery
from msaas.storage.memory import InMemoryStore
from msaas.storage.song_store import SongStore
from msaas_worker.__main__ import bootstrap
from msaas_worker.attempt import Step
from msaas_worker.scratch import Scratch
from msaas_worker.settings import WorkerSettings
from tests.faults.fault_injector import Damage, Injection, as_settings
from tests.faults.quick_engine import QuickSeparators
from tests.servers import wait_until
from tests.system import System
from tests.worker_pool import WorkerPool


def written_at(file: Path) -> int:
    return file.stat().st_mtime_ns


def test_heartbeat_grows_old_while_a_job_hangs_with_its_lease(system: System, pool: WorkerPool) -> None:
    worker = pool.start(**as_settings(Injection(Damage.HANG, Step.SONG_DECODED)))
    wait_until(lambda: list(pool.scratch.glob("msaas-worker-*/heartbeat")))
    (file,) = pool.scratch.glob("msaas-worker-*/heartbeat")
    first = written_at(file)
    wait_until(lambda: written_at(file) > first)
    job_id = system.send(song_mp3(1))
    worker.wait_for_event("song_decoded")

    def lease_until() -> float:
        return float(system.redis.client().hget(f"job:{job_id}", "lease_until") or 0)  # type: ignore[arg-type]

    last, until = written_at(file), lease_until()
    wait_until(lambda: lease_until() > until + 2 * EVERY_S)
    assert written_at(file) == last


class BrokenOutbox(InMemoryOutbox):
    """Every look for a delivery is a defect."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def receive(self, *, visibility_s: float, first_only: bool = False) -> Delivery | None:
        self.looks += 1
        raise ZeroDivisionError


@pytest.fixture
def stopping() -> Iterator[threading.Event]:
    stopping = threading.Event()
    yield stopping
    stopping.set()


def test_heartbeat_grows_old_while_a_task_keeps_failing(tmp_path: Path, stopping: threading.Event) -> None:
    outbox, scratch = BrokenOutbox(), Scratch(tmp_path)
    with capture_logs() as lines:
        runner = bootstrap(
            WorkerSettings(),
            scratch,
            stopping,
            name="worker",
            queue=InMemoryQueue(),
            outbox=outbox,
            song_store=SongStore(InMemoryStore()),
            separators=QuickSeparators(),
        )
        for look in range(1, 5):
            wait_until(lambda look=look: sum(line["event"] == "task_failed" for line in lines) == look)
            runner.job_ended.set()
        wait_until(lambda: sum(line["event"] == "task_failed" for line in lines) == 5)
    runner.heartbeat()
    assert not scratch.heartbeat.exists()


def test_heartbeat_is_written_while_the_tasks_work(tmp_path: Path, stopping: threading.Event) -> None:
    queue, scratch = InMemoryQueue(), Scratch(tmp_path)
    runner = bootstrap(
        WorkerSettings(),
        scratch,
        stopping,
        name="worker",
        queue=queue,
        outbox=queue.outbox,
        song_store=SongStore(InMemoryStore()),
        separators=QuickSeparators(),
    )
    runner.heartbeat(job_id="aaaa")
    assert scratch.heartbeat.read_text() == '{"job_id": "aaaa"}'
