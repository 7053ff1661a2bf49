"""Status of a job that is done: it follows the stored result."""

import pytest
from flask.testing import FlaskClient
from rest.tests.in_memory import client_on
from rest.tests.service import store_stems

from msaas.jobs import Job, JobError
from msaas.models import FOUR_STEMS
from msaas.queue.consumer import Claim, Result
from msaas.queue.memory import InMemoryQueue
from msaas.storage.memory import InMemoryStore
from msaas.storage.song_store import SongStore

JOB = "a" * 64
DELETED = f"All stems of job {JOB} were deleted. Send the song again."
UNKNOWN = f"Job {JOB} is unknown. Send the song again."


class System:
    """A client, and the queue and store behind it."""

    def __init__(self) -> None:
        self.store, self.queue = InMemoryStore(), InMemoryQueue()
        self.song_store = SongStore(self.store)
        self.song_store.prepare()
        self.client: FlaskClient = client_on(store=self.store, queue=self.queue)
        self.consumer = self.queue.consumer("w1")

    def claim(self) -> Claim:
        self.queue.enqueue(Job(job_id=JOB))
        payload = self.consumer.take(timeout_s=0)
        assert payload is not None
        return self.consumer.claim(Job.decode(payload), payload=payload)

    def finish(self) -> None:
        claim = self.claim()
        store_stems(self.song_store, JOB)
        self.consumer.finish(claim, Result(model="htdemucs", device="cpu", stems=FOUR_STEMS))

    def delete(self, *names: str) -> None:
        for name in names:
            self.store.delete(self.song_store.output_bucket, f"{JOB}{name}")

    def status(self) -> dict[str, object]:
        answer = self.client.get(f"/apiv1/job/{JOB}")
        assert answer.status_code == 200
        found: dict[str, object] = answer.json
        return found


@pytest.fixture
def system() -> System:
    system = System()
    system.finish()
    return system


def test_status_lists_the_stems_in_the_order_of_the_model(system: System) -> None:
    status = system.status()
    assert (status["state"], status["progress"], status["device"]) == ("done", 1.0, "cpu")
    assert status["stems"] == ["drums", "bass", "other", "vocals"]


@pytest.mark.parametrize("in_queue", [True, False])
@pytest.mark.parametrize(
    "names",
    [(".json",), tuple(f"-{stem}.mp3" for stem in FOUR_STEMS)],
    ids=["manifest", "stems"],
)
def test_job_whose_result_was_deleted_is_unknown(
    system: System, names: tuple[str, ...], in_queue: bool
) -> None:
    """Retention and operators delete objects, and `done` would promise them."""
    if not in_queue:
        system.queue.jobs.clear()
    system.delete(*names)
    answer = system.client.get(f"/apiv1/job/{JOB}")
    is_forgotten = not in_queue and names == (".json",)
    assert (answer.status_code, answer.json["detail"]) == (404, UNKNOWN if is_forgotten else DELETED)
    assert system.client.get(f"/apiv1/job/{JOB}/callbacks").status_code == 404


@pytest.mark.parametrize("in_queue", [True, False])
def test_every_listed_stem_can_be_downloaded(system: System, in_queue: bool) -> None:
    if not in_queue:
        system.queue.jobs.clear()
    assert system.client.delete(f"/apiv1/remove/{JOB}/bass").status_code == 200
    system.delete("-vocals.mp3")
    status = system.status()
    assert (status["state"], status["stems"]) == ("done", ["drums", "other"])
    answers = {stem: system.client.get(f"/apiv1/track/{JOB}/{stem}").status_code for stem in FOUR_STEMS}
    assert [stem for stem, code in answers.items() if code == 200] == status["stems"]


def test_job_whose_result_was_deleted_can_be_sent_again(system: System) -> None:
    system.delete(".json")
    system.queue.enqueue(Job(job_id=JOB))
    assert system.status()["state"] == "queued"


def test_running_and_failed_jobs_need_no_result() -> None:
    system = System()
    claim = system.claim()
    assert system.status()["state"] == "running"
    system.consumer.fail(claim, JobError("oops", "Oops.", "oops"))
    assert system.status()["state"] == "failed"


def test_status_of_a_done_job_is_503_without_the_store(system: System) -> None:
    system.store.away = True
    answer = system.client.get(f"/apiv1/job/{JOB}")
    assert (answer.status_code, answer.json["type"]) == (503, "urn:msaas:error:store_unavailable")
