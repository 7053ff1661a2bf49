"""What a running worker makes of what lies on the queue: songs, and whatever else was pushed there."""

import json
from pathlib import Path
from typing import Any

import pytest
from worker.tests.service import Service
from worker.tests.songs import song_mp3

from msaas.jobs import Job, JobState
from tests.servers import wait_until

GOLDEN = Path(__file__).parent / "golden" / "manifest.json"


def events_of(service: Service, job_id: str) -> list[str]:
    return [line["event"] for line in service.workers[0].events() if line.get("job") == job_id]


def test_a_song_becomes_four_different_stems(standing: Service) -> None:
    job_id = standing.enqueue(song_mp3(2, seed=1))
    status = standing.wait_for_end(job_id)
    assert (status.state, status.model, status.device, status.attempts) == ("done", "htdemucs", "cpu", 1)
    assert status.stems == ("drums", "bass", "other", "vocals")
    assert len({file.sha256 for file in standing.manifest(job_id).stems.values()}) == 4


def test_the_first_line_says_what_runs(standing: Service) -> None:
    first = standing.workers[0].events()[0]
    assert (first["event"], first["model"], first["device"]) == ("model_loaded", "htdemucs", "cpu")
    assert first["engine"].startswith("demucs-4.1.0/cpu/")


def test_each_step_of_a_job_is_told_under_its_name(standing: Service) -> None:
    job_id = standing.enqueue(song_mp3(1, seed=2))
    standing.wait_for_end(job_id)
    wait_until(lambda: "job_finished" in events_of(standing, job_id))
    assert events_of(standing, job_id) == [
        "job_claimed",
        "song_fetched",
        "song_decoded",
        "song_separated",
        *["stem_stored"] * 4,
        "manifest_stored",
        "job_finished",
    ]


def test_the_log_line_of_the_contract_names_node_service_and_level(standing: Service) -> None:
    line = standing.redis.lindex("logging", -1).decode()
    prefix, message = line.split(":", 1)
    assert prefix.split(".")[-2:] == ["worker", "info"]
    assert message.startswith("model_loaded model=htdemucs device=cpu engine=demucs-4.1.0/cpu/")


def test_the_manifest_is_the_one_of_the_golden_file(standing: Service) -> None:
    job_id = standing.enqueue(song_mp3(1, seed=3))
    standing.wait_for_end(job_id)
    text = b"".join(standing.song_store.store.get("output-tracks", f"{job_id}.json")).decode()
    for name, value in hashes(json.loads(text)).items():
        text = text.replace(value, f"<{name}>")
    assert text == GOLDEN.read_text().rstrip("\n")


def hashes(manifest: dict[str, Any]) -> dict[str, str]:
    """What is another on every machine: its arithmetic shows in the samples of a random model."""
    stems = {f"sha256 of {stem}": entry["sha256"] for stem, entry in manifest["stems"].items()}
    return {"songhash": manifest["songhash"], "sha256 of the weights": manifest["weights_sha256"], **stems}


@pytest.mark.parametrize(
    "entry",
    [b"\x80\xff binary", b"{", b"[1]", b"{}", b'{"hash": 1}', b"x" * 5_000_000, b"[" * 10_000],
    ids=["binary", "cut", "list", "empty", "number", "large", "nested"],
)
def test_an_entry_that_is_no_job_is_buried_with_its_reason(entry: bytes, standing: Service) -> None:
    dead = standing.queue.depth().dead
    standing.redis.lpush("toWorkers", entry)
    wait_until(lambda: standing.queue.depth().dead == dead + 1)
    letter = json.loads(standing.redis.lindex("toWorkers:dead", 0))
    assert letter["bytes"] == len(entry)
    assert letter["reason"]


@pytest.mark.parametrize("form", ["{}", '{{"hash": "{}"}}', '{{"songhash": "{}"}}'])
@pytest.mark.parametrize("key", ["toWorkers", "toWorker"])
def test_a_job_pushed_by_hand_is_done(form: str, key: str, standing: Service) -> None:
    job_id = standing.put(song_mp3(1, seed=10 + len(form) + len(key)))
    standing.redis.lpush(key, form.format(job_id))
    wait_until(lambda: standing.queue.status(job_id))
    assert standing.wait_for_end(job_id).state is JobState.DONE


def test_a_song_that_is_gone_fails_at_the_first_attempt(standing: Service) -> None:
    standing.queue.enqueue(Job(job_id="0" * 64))
    status = standing.wait_for_end("0" * 64)
    assert status.error
    assert (status.state, status.attempts, status.error.code) == ("failed", 1, "song_missing")


def test_a_song_that_is_none_fails_at_the_first_attempt(standing: Service) -> None:
    status = standing.wait_for_end(standing.enqueue(b"ID3" + b"\x04" * 30))
    assert status.error
    assert (status.state, status.attempts, status.error.code) == ("failed", 1, "undecodable_song")


def test_a_model_that_is_not_at_hand_fails_with_how_to_get_it(standing: Service) -> None:
    status = standing.wait_for_end(standing.enqueue(song_mp3(1, seed=4), model="mdx"))
    assert status.error
    assert (status.state, status.attempts, status.error.code) == ("failed", 1, "model_unavailable")
    assert "mdx.yaml" in status.error.detail
    assert "MODEL_REPO" in status.error.detail


def test_a_model_that_is_none_fails(standing: Service) -> None:
    status = standing.wait_for_end(standing.enqueue(song_mp3(1, seed=4), model="evil/repository"))
    assert status.error
    assert (status.state, status.error.code) == ("failed", "unknown_model")


def test_the_same_song_again_needs_no_model_run(standing: Service) -> None:
    job_id = standing.enqueue(song_mp3(1, seed=5))
    standing.wait_for_end(job_id)
    standing.queue.enqueue(Job(job_id=job_id))
    wait_until(lambda: events_of(standing, job_id)[-2:] == ["job_done_before", "job_finished"])
    assert standing.status(job_id).state is JobState.DONE


def test_a_removed_stem_is_made_again_with_the_same_bytes(standing: Service) -> None:
    job_id = standing.enqueue(song_mp3(1, seed=6))
    standing.wait_for_end(job_id)
    before = standing.manifest(job_id)
    standing.song_store.remove_stem(job_id, "bass")
    standing.queue.enqueue(Job(job_id=job_id))
    wait_until(lambda: "bass" in standing.manifest(job_id).stems)
    assert standing.manifest(job_id) == before


def test_a_job_leaves_nothing_on_the_disk(standing: Service) -> None:
    standing.wait_for_end(standing.enqueue(song_mp3(1, seed=7)))
    (processing,) = standing.scratch.glob("msaas-worker-*")
    wait_until(lambda: {path.name for path in processing.iterdir()} == {"heartbeat", "lock"})
