"""Jobs of a running worker with a real model: songs, and every other entry of the queue."""

import io
import json
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile
from worker.tests.songs import noise, song_mp3

from msaas.jobs import Job, JobState
from msaas.recipe import Recipe
from msaas_worker.attempt import Step
from msaas_worker.audio.decoded import SAMPLERATE
from tests.faults.fault_injector import Damage, Injection, as_settings
from tests.processes import WorkerProcess, further_heaps
from tests.servers import wait_until
from tests.system import System
from tests.worker_pool import QUICK_WORKER, WorkerPool

GOLDENS = Path(__file__).parent / "golden"
STEPS = [
    "job_claimed",
    "song_fetched",
    "song_decoded",
    "song_separated",
    *["stem_stored"] * 4,
    "analysis_stored",
    "manifest_stored",
    "job_finished",
]


@pytest.fixture
def system(shared_pool: WorkerPool) -> System:
    return shared_pool.system


@pytest.fixture
def worker(shared_pool: WorkerPool) -> WorkerProcess:
    return shared_pool.workers[0]


def events_of(worker: WorkerProcess, job_id: str) -> list[str]:
    return [line["event"] for line in worker.events(job_id=job_id)]


def test_song_becomes_four_different_stems(system: System) -> None:
    job_id = system.send(song_mp3(2, seed=1))
    status = system.wait_for_end(job_id)
    assert (status.state, status.model, status.device, status.attempts) == ("done", "htdemucs", "cpu", 1)
    assert status.stems == ("drums", "bass", "other", "vocals")
    assert len({file.sha256 for file in system.manifest(job_id).stems.values()}) == 4


def test_line_of_the_loaded_model_names_model_device_and_engine(worker: WorkerProcess) -> None:
    [line] = worker.events("model_loaded")
    assert (line["model"], line["device"]) == ("htdemucs", "cpu")
    assert line["engine"].startswith("demucs-4.1.0/cpu/")


def test_each_step_of_a_job_is_logged_with_its_job_id(system: System, worker: WorkerProcess) -> None:
    job_id = system.put(song_mp3(1, seed=2))
    system.push(Job(job_id=job_id, request_id="request-7").encode())
    worker.wait_for_event("job_finished", job_id=job_id)
    assert events_of(worker, job_id) == STEPS
    lines = worker.events(job_id=job_id)
    assert {line["request_id"] for line in lines} == {"request-7"}
    assert {line["worker"] for line in lines} == {worker.events("worker_started")[0]["worker"]}
    assert {line["model"] for line in lines[2:]} == {"htdemucs"}


def test_line_of_the_logging_list_names_node_service_and_level(system: System) -> None:
    lines = [line.decode() for line in system.redis.client().lrange("logging", 0, -1)]
    [line] = [line for line in lines if "model_loaded" in line]
    prefix, message = line.split(":", 1)
    assert prefix.split(".")[-2:] == ["worker", "info"]
    assert message.startswith("model_loaded ")
    assert "model=htdemucs" in message


def titled_flac() -> bytes:
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", SAMPLERATE, 2, format="FLAC", subtype="PCM_16") as writer:
        writer.title = "Blue Train"
        writer.write(noise(SAMPLERATE, seed=3).T)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "song", "options"),
    [
        ("manifest.json", song_mp3(1, seed=3), {}),
        (
            "manifest-options.json",
            song_mp3(1, seed=3),
            {"format": "flac", "two_stems": "vocals", "exact_sum": True},
        ),
        ("manifest-title.json", titled_flac(), {"bitrate": 192}),
    ],
    ids=["defaults", "options", "title"],
)
def test_manifest_is_that_of_the_golden_file(
    name: str, song: bytes, options: dict[str, Any], system: System
) -> None:
    recipe = Recipe.parse(options)
    job_id = recipe.job_id(system.put(song))
    system.queue.enqueue(Job.of(job_id, recipe))
    system.wait_for_end(job_id)
    text = b"".join(system.song_store.store.get("output-tracks", f"{job_id}.json")).decode()
    manifest = json.loads(text)
    for value, replacement in differing(manifest).items():
        text = text.replace(value, replacement)
    assert text == (GOLDENS / name).read_text().rstrip("\n")


def differing(manifest: dict[str, Any]) -> dict[str, str]:
    """Return the values that differ between machines, as the samples of a random model do."""
    stems = manifest["stems"]
    sizes = {
        f'"size_bytes": {entry["size_bytes"]}': f'"size_bytes": "<size of {stem}>"'
        for stem, entry in stems.items()
        if entry["file"].endswith(".flac")
    }
    return {
        manifest["songhash"]: "<songhash>",
        manifest["weights_sha256"]: "<sha256 of the weights>",
        **{entry["sha256"]: f"<sha256 of {stem}>" for stem, entry in stems.items()},
        **sizes,
    }


@pytest.mark.parametrize(
    "entry",
    [b"\x80\xff binary", b"{", b"[1]", b"{}", b'{"hash": 1}', b"x" * 5_000_000, b"[" * 10_000],
    ids=["binary", "cut", "list", "empty", "number", "large", "nested"],
)
def test_malformed_entry_becomes_a_dead_letter_with_its_reason(entry: bytes, system: System) -> None:
    dead = system.queue.depth().dead
    system.push(entry)
    wait_until(lambda: system.queue.depth().dead == dead + 1)
    letter = json.loads(system.redis.client().lindex("toWorkers:dead", 0))
    assert letter["bytes"] == len(entry)
    assert letter["reason"]


@pytest.mark.parametrize(
    ("key", "form"),
    [
        ("toWorkers", "{}"),
        ("toWorkers", '{{"hash": "{}"}}'),
        ("toWorkers", '{{"songhash": "{}"}}'),
        ("toWorkers", "{}.mp3"),
        ("toWorker", "{}"),
    ],
)
def test_job_pushed_by_hand_is_done(key: str, form: str, system: System) -> None:
    job_id = system.put(song_mp3(1, seed=10 + len(form) + len(key)))
    system.redis.client().lpush(key, form.format(job_id))
    assert system.wait_for_end(job_id).state is JobState.DONE


def test_upper_case_hash_pushed_by_hand_is_done(system: System) -> None:
    job_id = system.put(song_mp3(1, seed=30))
    system.push(job_id.upper())
    assert system.wait_for_end(job_id).state is JobState.DONE


def test_missing_song_fails_at_the_first_attempt(system: System) -> None:
    system.queue.enqueue(Job(job_id="0" * 64))
    status = system.wait_for_end("0" * 64)
    assert status.error
    assert (status.state, status.attempts, status.error.code) == ("failed", 1, "song_missing")


def test_undecodable_song_fails_at_the_first_attempt(system: System) -> None:
    status = system.wait_for_end(system.send(b"ID3" + b"\x04" * 30))
    assert status.error
    assert (status.state, status.attempts, status.error.code) == ("failed", 1, "undecodable_song")


def test_missing_model_fails_with_advice(system: System, shared_pool: WorkerPool) -> None:
    """The job waits in the queue until the hub was asked."""
    shared_pool.start_keeper(ready=False)
    status = system.wait_for_end(system.send(song_mp3(1, seed=4), model="mdx"))
    assert status.error
    assert (status.state, status.attempts, status.error.code) == ("failed", 1, "model_unavailable")
    assert "mdx.yaml" in status.error.detail
    assert "MODEL_REPO" in status.error.detail


def test_unknown_model_fails_at_the_first_attempt(system: System) -> None:
    status = system.wait_for_end(system.send(song_mp3(1, seed=31), model="evil/repository"))
    assert status.error
    assert (status.state, status.attempts, status.error.code) == ("failed", 1, "unknown_model")


def test_song_that_is_done_is_not_separated_again(system: System, worker: WorkerProcess) -> None:
    job_id = system.send(song_mp3(1, seed=5))
    system.wait_for_end(job_id)
    system.queue.enqueue(Job(job_id=job_id))
    wait_until(lambda: events_of(worker, job_id)[-2:] == ["song_already_separated", "job_finished"])
    assert system.status(job_id).state is JobState.DONE


def test_removed_stem_is_made_again_with_the_same_bytes(system: System) -> None:
    job_id = system.send(song_mp3(1, seed=6))
    system.wait_for_end(job_id)
    before = system.manifest(job_id)
    system.song_store.remove_stem(job_id, "bass")
    system.queue.enqueue(Job(job_id=job_id))
    wait_until(lambda: "bass" in system.manifest(job_id).stems)
    assert system.manifest(job_id) == before


def test_second_attempt_makes_the_same_bytes(system: System, shared_pool: WorkerPool) -> None:
    """The first attempt dies when half of its stems are stored."""
    song, worker = song_mp3(2, seed=9), shared_pool.workers[0]
    job_id = system.send(song)
    system.wait_for_end(job_id)
    manifest = system.manifest(job_id)
    system.delete_results()
    shared_pool.start_keeper(ready=False)
    scratches = set(shared_pool.scratch.glob("msaas-worker-*"))
    worker.signal(signal.SIGSTOP)
    try:
        dying = shared_pool.start(
            *QUICK_WORKER, ENGINE="real", **as_settings(Injection(Damage.KILL, Step.STEM_STORED, number=2))
        )
        system.send(song)
        assert dying.exit_code() == -signal.SIGKILL
        stems = [each.key for each in system.song_store.results() if each.key.endswith(".mp3")]
        assert len(stems) == 2
    finally:
        worker.signal(signal.SIGCONT)
    status = system.wait_for_end(job_id)
    assert (status.state, status.attempts) == (JobState.DONE, 2)
    assert system.manifest(job_id) == manifest
    # The next worker to start would do this.
    for scratch in set(shared_pool.scratch.glob("msaas-worker-*")) - scratches:
        shutil.rmtree(scratch)


def test_job_leaves_no_file_on_the_disk(system: System, shared_pool: WorkerPool) -> None:
    system.wait_for_end(system.send(song_mp3(1, seed=7)))
    (scratch,) = shared_pool.scratch.glob("msaas-worker-*")
    wait_until(lambda: {path.name for path in scratch.iterdir()} == {"heartbeat", "lock"})


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="about glibc")
def test_all_threads_of_a_worker_share_one_heap(system: System, worker: WorkerProcess) -> None:
    """Memory freed in one heap cannot be used by another: a thread once kept 58 MB."""
    assert system.wait_for_end(system.send(song_mp3(1, seed=8))).state is JobState.DONE
    assert further_heaps(worker.process.pid) == []
