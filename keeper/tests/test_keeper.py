"""The tasks of a keeper on in-memory adapters, and its heartbeat."""

import threading
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from msaas.background import Tasks, spawn
from msaas.heartbeat import Heartbeat
from msaas.jobs import Callback, Job
from msaas.queue.memory import InMemoryQueue
from msaas.queue.protocol import QueuePolicy
from msaas.storage.memory import InMemoryStore
from msaas.storage.song_store import SongStore
from msaas.webhooks.sender import CallbackFailed
from msaas_keeper.__main__ import bootstrap, keep_beating
from msaas_keeper.settings import KeeperSettings
from tests.servers import wait_until

JOB_ID = "a" * 64
#: Sweeps come every 25 ms.
SETTINGS = KeeperSettings(lease_seconds=0.1)


@pytest.fixture
def stopping() -> Iterator[threading.Event]:
    stopping = threading.Event()
    yield stopping
    stopping.set()


class CountingQueue(InMemoryQueue):
    """Counts the sweeps of the reaper."""

    sweeps = 0

    def reap(self) -> list[str]:
        self.sweeps += 1
        return super().reap()


@pytest.fixture
def queue() -> CountingQueue:
    return CountingQueue(policy=QueuePolicy(lease_s=0.1))


@pytest.fixture
def song_store() -> SongStore:
    song_store = SongStore(InMemoryStore())
    song_store.prepare()
    return song_store


class Receiver:
    """Implements `Send`; notes the URLs."""

    def __init__(self) -> None:
        self.urls: list[str] = []

    def __call__(self, url: str, body: bytes, *, headers: Mapping[str, str]) -> None:
        self.urls.append(url)
        if len(self.urls) == 1:
            raise CallbackFailed("HTTP 500")


def test_keeper_returns_jobs_and_sends_callbacks(
    queue: InMemoryQueue, song_store: SongStore, stopping: threading.Event
) -> None:
    queue.delayed[Job(job_id=JOB_ID).encode()] = time.time() - 1
    queue.outbox.add(Callback("http://there/"), job_id=JOB_ID)
    receiver = Receiver()
    bootstrap(SETTINGS, stopping, queue=queue, outbox=queue.outbox, song_store=song_store, send=receiver)
    wait_until(lambda: queue.waiting() == [JOB_ID])
    wait_until(lambda: receiver.urls == ["http://there/"])
    [delivery] = queue.outbox.deliveries(JOB_ID)
    assert (delivery.state, delivery.attempts) == ("pending", 1)


def test_tasks_survive_an_outage_of_the_queue(
    queue: InMemoryQueue, song_store: SongStore, stopping: threading.Event
) -> None:
    queue.away = queue.outbox.away = True
    with capture_logs() as lines:
        tasks = bootstrap(
            SETTINGS, stopping, queue=queue, outbox=queue.outbox, song_store=song_store, send=Receiver()
        )
        wait_until(lambda: {line["task"] for line in lines} >= {"reaper", "fragments", "webhooks-0"})
        assert tasks.are_healthy()
        queue.away = queue.outbox.away = False
        queue.delayed[Job(job_id=JOB_ID).encode()] = time.time() - 1
        wait_until(lambda: queue.waiting() == [JOB_ID])
    assert {line["log_level"] for line in lines} == {"warning"}


def test_hanging_receivers_hold_one_task_each(
    queue: CountingQueue, song_store: SongStore, stopping: threading.Event
) -> None:
    started: list[str] = []
    over = threading.Event()

    def hang(url: str, body: bytes, *, headers: Mapping[str, str]) -> None:
        started.append(url)
        over.wait(20)

    for number in range(6):
        queue.outbox.add(Callback(f"http://there/{number}"), job_id=JOB_ID)
    bootstrap(SETTINGS, stopping, queue=queue, outbox=queue.outbox, song_store=song_store, send=hang)
    wait_until(lambda: len(started) == 4)
    sweeps = queue.sweeps
    wait_until(lambda: queue.sweeps > sweeps + 5)
    assert len(started) == 4
    over.set()
    wait_until(lambda: {each.state for each in queue.outbox.deliveries(JOB_ID)} == {"delivered"})
    assert len(set(started)) == 6


class WatchedTasks(Tasks):
    """Counts the looks at its health."""

    looks = 0

    def are_healthy(self) -> bool:
        self.looks += 1
        return super().are_healthy()


def test_heartbeat_grows_old_while_a_task_keeps_failing(stopping: threading.Event, tmp_path: Path) -> None:
    tasks, file, is_broken = WatchedTasks(stopping), tmp_path / "heartbeat", threading.Event()

    def work() -> None:
        if is_broken.is_set():
            raise ZeroDivisionError

    def wait_for_looks(number: int) -> None:
        before = tasks.looks
        wait_until(lambda: tasks.looks >= before + number)

    with capture_logs():
        tasks.every(0.01, work, name="reaper")
        beat = tasks.guard(Heartbeat(file, every_s=0))
        spawn(partial(keep_beating, beat, stopping, every_s=0.01), name="heartbeat")
        wait_until(file.exists)
        first = file.stat().st_mtime_ns
        wait_until(lambda: file.stat().st_mtime_ns > first)
        is_broken.set()
        wait_until(lambda: not Tasks.are_healthy(tasks))
        # A beat that began before is over then.
        wait_for_looks(2)
        last = file.stat().st_mtime_ns
        wait_for_looks(5)
        assert file.stat().st_mtime_ns == last
        is_broken.clear()
        wait_until(lambda: file.stat().st_mtime_ns > last)
