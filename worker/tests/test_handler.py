"""The work of one job on the in-memory queue and store, with a quick engine."""

import io
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs
from worker.tests.songs import song_mp3

from msaas.errors import SongDamaged, StoreUnavailable
from msaas.jobs import Job
from msaas.models import FOUR_STEMS
from msaas.queue.consumer import Claim, Result
from msaas.queue.memory import InMemoryQueue
from msaas.songs import song_hash
from msaas.storage.memory import InMemoryStore
from msaas.storage.song_store import SongStore
from msaas_worker.job.handler import JobHandler
from msaas_worker.job.lease import LeasedAttempt
from msaas_worker.scratch import Scratch
from msaas_worker.separators import Separator
from tests.faults.quick_engine import QuickSeparator

pytestmark = pytest.mark.process

SONG = song_mp3(1)
JOB_ID = song_hash(SONG)


class StandIns:
    """Implements `Separators`: the starter runs in place of every model."""

    def get(self, model: str) -> Separator:
        return QuickSeparator(model="starter")


class Worker:
    """Claims and does the jobs of an in-memory queue."""

    def __init__(self, folder: Path) -> None:
        self.queue = InMemoryQueue()
        self.song_store = SongStore(InMemoryStore())
        self.song_store.store.make_bucket(self.song_store.input_bucket)
        self.song_store.put_song(JOB_ID, io.BytesIO(SONG), size_bytes=len(SONG))
        self.consumer = self.queue.consumer("w1")
        self.handler = JobHandler(
            song_store=self.song_store,
            separators=StandIns(),
            scratch=Scratch(folder),
            default_model="htdemucs",
            max_duration_s=60,
        )

    def claim(self) -> Claim:
        payload = self.consumer.take(timeout_s=0)
        assert payload
        return self.consumer.claim(Job.decode(payload), payload=payload)

    def work(self) -> Result:
        """Do the next job and finish it."""
        claim = self.claim()
        with LeasedAttempt(
            self.consumer, claim=claim, song_store=self.song_store, queue_policy=self.queue.policy
        ) as attempt:
            result = self.handler.handle(claim.job, attempt)
        self.consumer.finish(claim, result)
        return result


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


def test_missing_output_bucket_is_created_during_the_job(worker: Worker) -> None:
    """The separation is not repeated: it takes much longer."""
    worker.queue.enqueue(Job(job_id=JOB_ID))
    with capture_logs() as lines:
        worker.work()
    assert [line["event"] for line in lines].count("song_separated") == 1
    assert [line["event"] for line in lines if line["log_level"] != "info"] == ["bucket_missing"]
    manifest = worker.song_store.whole_manifest(JOB_ID)
    assert manifest
    assert set(manifest.stems) == set(FOUR_STEMS)


def test_bucket_that_cannot_be_created_is_an_outage(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job waits for the store. It does not use up its attempts."""
    monkeypatch.setattr(worker.song_store.store, "make_bucket", lambda bucket: None)
    worker.queue.enqueue(Job(job_id=JOB_ID))
    with pytest.raises(StoreUnavailable, match="The bucket cannot be created"):
        worker.work()


def test_result_of_a_stand_in_names_the_requested_model(worker: Worker) -> None:
    worker.queue.enqueue(Job(job_id=JOB_ID))
    result = worker.work()
    assert (result.model, result.requested_model) == ("starter", "htdemucs")
    status = worker.queue.status(JOB_ID)
    assert status
    assert (status.model, status.requested_model, status.device) == ("starter", "htdemucs", "cpu")


@pytest.mark.parametrize("by_hand", [True, False], ids=["by hand", "enqueued"])
def test_job_that_comes_again_finds_the_result_of_the_stand_in(worker: Worker, by_hand: bool) -> None:
    worker.queue.enqueue(Job(job_id=JOB_ID))
    worker.work()
    before = worker.queue.status(JOB_ID)
    assert before
    if by_hand:
        worker.queue.push(JOB_ID.encode())
    else:
        worker.queue.enqueue(Job(job_id=JOB_ID))
    with capture_logs() as lines:
        result = worker.work()
    assert [line["event"] for line in lines] == ["song_already_separated"]
    assert (result.model, result.requested_model, result.device) == ("starter", "htdemucs", "")
    after = worker.queue.status(JOB_ID)
    assert after
    assert (after.state, after.model, after.requested_model) == ("done", "starter", "htdemucs")
    assert (after.device, after.created_at) == ("cpu", before.created_at)


def test_forgotten_status_of_a_stand_in_names_the_requested_model_again(worker: Worker) -> None:
    worker.queue.enqueue(Job(job_id=JOB_ID))
    worker.work()
    worker.queue.jobs.clear()
    worker.queue.enqueue(Job(job_id=JOB_ID))
    worker.work()
    status = worker.queue.status(JOB_ID)
    assert status
    assert (status.model, status.requested_model) == ("starter", "htdemucs")


@pytest.mark.parametrize("altered", [song_mp3(1, seed=2), SONG[:-100], b""], ids=["other", "cut", "empty"])
def test_song_that_differs_from_its_hash_is_not_separated(worker: Worker, altered: bytes) -> None:
    store = worker.song_store.store
    store.put(worker.song_store.input_bucket, f"{JOB_ID}.mp3", io.BytesIO(altered), size_bytes=len(altered))
    worker.queue.enqueue(Job(job_id=JOB_ID))
    with capture_logs() as lines, pytest.raises(SongDamaged, match=f"{JOB_ID} was altered or cut"):
        worker.work()
    levels = [(line["event"], line["log_level"]) for line in lines]
    assert levels == [("model_stands_in", "info"), ("song_damaged", "error")]
    worker.song_store.prepare()
    assert list(worker.song_store.outputs()) == []


def test_result_that_is_found_is_renewed(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A push by hand is a request: retention counts from it."""
    worker.queue.enqueue(Job(job_id=JOB_ID))
    worker.work()
    monkeypatch.setattr("msaas.storage.protocol.time", SimpleNamespace(time=lambda: time.time() + 3600))
    stored_at = manifest_time(worker)
    worker.queue.push(JOB_ID.encode())
    worker.work()
    assert manifest_time(worker) > stored_at


def manifest_time(worker: Worker) -> float:
    return worker.song_store.store.stat(worker.song_store.output_bucket, f"{JOB_ID}.json").modified_at
