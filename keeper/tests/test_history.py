"""The history moves from the queue into the database, at least once, also after an outage."""

import io
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from keeper.tests.conftest import start_housekeeping

from common.tests.steps import OOPS, RESULT, claim_next
from msaas.errors import DatabaseUnavailable, QueueUnavailable, StoreUnavailable
from msaas.jobs import Job, JobState
from msaas.outcomes import Outcome, Outcomes
from msaas.queue.history import HistoryBatch, HistoryQueue
from msaas.queue.memory import InMemoryHistory, InMemoryOutbox, InMemoryQueue, InMemorySongRegistry
from msaas.queue.protocol import JobQueue
from msaas.queue.redis.history import RedisHistory
from msaas.queue.redis.jobs import RedisQueue
from msaas.recipe import Recipe
from msaas.storage.memory import InMemoryStore
from msaas.storage.song_store import SongStore
from msaas_catalogue import Catalogue, HistoryQuery, open_catalogue, prepare
from msaas_keeper.__main__ import bootstrap
from msaas_keeper.history import move_history
from msaas_keeper.outcomes import note_outcomes
from msaas_keeper.settings import KeeperSettings
from tests.databases import DatabaseServer, database_running
from tests.servers import RedisServer, wait_until


def end_jobs(queue: JobQueue, *numbers: int) -> list[str]:
    """End a job for each number, every third one as failed. Return their ids, the latest first."""
    worker = queue.consumer("w1")
    job_ids = [f"{number:064x}" for number in numbers]
    for number, job_id in zip(numbers, job_ids, strict=True):
        queue.enqueue(Job(job_id=job_id))
        claim = claim_next(worker)
        if number % 3:
            worker.finish(claim, RESULT)
        else:
            worker.fail(claim, OOPS)
    return job_ids[::-1]


def stored(catalogue: Catalogue) -> list[str]:
    """Return the jobs in the database, the latest end first."""
    return [each.job_id for each in catalogue.history.list_page(HistoryQuery(limit=1000)).separations]


def test_ends_of_jobs_are_moved(catalogue: Catalogue) -> None:
    queue = InMemoryQueue()
    job_ids = end_jobs(queue, *range(7))
    move_history(queue.history, catalogue.history, batch=3)
    assert queue.history.entries == []
    assert stored(catalogue) == job_ids
    (last, *_, first) = catalogue.history.list_page().separations
    assert (first.state, first.error_code) == (JobState.FAILED, OOPS.code)
    assert (last.state, last.error_code) == (JobState.FAILED, OOPS.code)
    move_history(queue.history, catalogue.history)
    assert len(stored(catalogue)) == 7


class Dying(InMemoryHistory):
    """The keeper dies after it has stored a batch."""

    def trim(self, batch: HistoryBatch) -> None:
        raise QueueUnavailable("The keeper has died.")


def test_keeper_that_dies_between_two_steps_stores_no_row_twice(catalogue: Catalogue) -> None:
    queue = InMemoryQueue()
    queue.history = Dying()
    job_ids = end_jobs(queue, *range(5))
    for _ in range(2):
        with pytest.raises(QueueUnavailable):
            move_history(queue.history, catalogue.history)
    assert len(queue.history.entries) == 5
    assert stored(catalogue) == job_ids


def test_two_keepers_at_once_store_each_end_once(catalogue: Catalogue, redis_server: RedisServer) -> None:
    histories = [RedisHistory(redis_server.address) for _ in range(3)]
    job_ids = end_jobs(RedisQueue(redis_server.address), *range(60))
    threads = [
        threading.Thread(target=move_history, args=(history, catalogue.history), kwargs={"batch": 7})
        for history in histories
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert histories[0].read(limit=1).entries == ()
    assert stored(catalogue) == job_ids


def test_entry_that_cannot_be_read_blocks_no_other(
    catalogue: Catalogue, log_lines: list[dict[str, object]]
) -> None:
    queue = InMemoryQueue()
    queue.history.entries.append(b"{broken")
    [job_id] = end_jobs(queue, 1)
    move_history(queue.history, catalogue.history)
    assert (queue.history.entries, stored(catalogue)) == ([], [job_id])
    [line] = [each for each in log_lines if each["event"] == "history_entries_dropped"]
    assert (line["log_level"], line["count"]) == ("error", 1)


def test_database_without_tables_keeps_the_entries(tmp_path: Path) -> None:
    queue = InMemoryQueue()
    end_jobs(queue, 1)
    catalogue = open_catalogue(f"sqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(DatabaseUnavailable):
        move_history(queue.history, catalogue.history)
    assert len(queue.history.entries) == 1


def start_keeper(
    queue: JobQueue, history: HistoryQueue, stopping: threading.Event, *, url: str | None
) -> None:
    song_store = SongStore(InMemoryStore())
    song_store.prepare()
    bootstrap(
        KeeperSettings(lease_seconds=0.1, database_url=url),  # type: ignore[arg-type]
        stopping,
        queue=queue,
        registry=InMemorySongRegistry(),
        history=history,
        outbox=InMemoryOutbox(),
        song_store=song_store,
    )


def test_keeper_moves_the_history(url: str, catalogue: Catalogue, stopping: threading.Event) -> None:
    queue = InMemoryQueue()
    start_keeper(queue, queue.history, stopping, url=url)
    job_ids = end_jobs(queue, 1, 2)
    wait_until(lambda: stored(catalogue) == job_ids)


def test_keeper_without_a_database_keeps_the_history_in_the_queue(stopping: threading.Event) -> None:
    queue = InMemoryQueue()
    start_keeper(queue, queue.history, stopping, url=None)
    end_jobs(queue, 1)
    assert not stopping.wait(0.3)
    assert len(queue.history.entries) == 1


def test_retention_spares_the_songs_of_the_catalogue(
    url: str, catalogue: Catalogue, stopping: threading.Event
) -> None:
    """Both songs are older than the retention."""
    song_store = SongStore(InMemoryStore())
    song_store.prepare()
    for song_hash in ("a" * 64, "b" * 64):
        song_store.put_song(song_hash, io.BytesIO(b"mp3"), size_bytes=3)
    catalogue.songs.add("Mine", song_hash="a" * 64, recipe=Recipe(), user_id=None)
    settings = KeeperSettings(database_url=url, retention_hours=1e-9)  # type: ignore[arg-type]
    start_housekeeping(settings, stopping, song_store=song_store, catalogue=None)
    wait_until(lambda: [each.key for each in song_store.songs()] == [f"{'a' * 64}.mp3"])


@pytest.fixture(params=["mariadb", "postgresql"])
def own_server(request: pytest.FixtureRequest) -> Iterator[DatabaseServer]:
    with database_running(request.param) as server:
        yield server


def test_songs_go_on_while_the_database_is_killed(
    own_server: DatabaseServer,
    redis_server: RedisServer,
    stopping: threading.Event,
    log_lines: list[dict[str, object]],
) -> None:
    url = own_server.make_database()
    prepare(url)
    catalogue = open_catalogue(url)
    queue, history = RedisQueue(redis_server.address), RedisHistory(redis_server.address)
    start_keeper(queue, history, stopping, url=url)
    before = end_jobs(queue, *range(20))
    wait_until(lambda: stored(catalogue) == before)
    own_server.kill()
    during = end_jobs(queue, *range(20, 120))
    wait_until(lambda: "task_delayed" in {each["event"] for each in log_lines})
    assert len(history.read(limit=1000).entries) == 100
    # The other tasks of the keeper run: it returns the job of a dead worker.
    queue.enqueue(Job(job_id="f" * 64))
    claim_next(RedisQueue(redis_server.address).consumer("dead"))
    redis_server.client().zadd("toWorkers:workers", {"dead": 1})
    wait_until(lambda: queue.waiting() == ["f" * 64])
    own_server.start()
    wait_until(lambda: stored(catalogue) == during + before)
    wait_until(lambda: history.read(limit=1).entries == ())
    assert "task_failed" not in {each["event"] for each in log_lines}
    catalogue.close()


def test_end_of_the_job_of_an_upload_is_noted(catalogue: Catalogue) -> None:
    """The list of songs then needs no object, also after the record of the job has expired."""
    queue, song_store = InMemoryQueue(), SongStore(InMemoryStore())
    song_store.prepare()
    job_ids = end_jobs(queue, 1, 2, 3)
    for job_id in job_ids[:2]:
        catalogue.songs.add("Hum", song_hash=job_id, recipe=Recipe(), user_id=None)
        song_store.put_song(job_id, io.BytesIO(b"song"), size_bytes=4)
    catalogue.outcomes.record([Outcome(job_id=job_ids[2], is_split=False)])
    outcomes = Outcomes(song_store=song_store, notes=lambda: catalogue.outcomes)
    note = partial(note_outcomes, songs=catalogue.songs, outcomes=outcomes)
    move_history(queue.history, catalogue.history, on_moved=note)
    noted = {job_id: Outcome(job_id=job_id, is_split=False) for job_id in job_ids[:2]}
    assert catalogue.outcomes.find(job_ids) == noted


class AwayStore(InMemoryStore):
    def get(self, bucket: str, key: str, **span: Any) -> Iterator[bytes]:
        raise StoreUnavailable("away")


def test_history_moves_while_the_store_is_away(catalogue: Catalogue) -> None:
    queue = InMemoryQueue()
    [job_id] = end_jobs(queue, 1)
    catalogue.songs.add("Hum", song_hash=job_id, recipe=Recipe(), user_id=None)
    outcomes = Outcomes(song_store=SongStore(AwayStore()), notes=lambda: catalogue.outcomes)
    note = partial(note_outcomes, songs=catalogue.songs, outcomes=outcomes)
    move_history(queue.history, catalogue.history, on_moved=note)
    assert (queue.history.entries, stored(catalogue)) == ([], [job_id])
