"""Records of separations: their JSON, and those of neighbouring versions."""

import json

import pytest

from msaas.jobs import JobState
from msaas.queue.history import HistoryBatch
from msaas.separations import Separation

SONG = "a" * 64
FULL = Separation(
    event_id=f"{SONG}@1764489600.250000",
    job_id=SONG,
    state=JobState.FAILED,
    finished_at=1764489600.25,
    queued_at=1764489500.0,
    started_at=1764489590.0,
    options={"model": "mdx"},
    model="mdx",
    requested_model="mdx",
    weights_sha256="f" * 64,
    device="cpu",
    attempts=3,
    error_code="separation_failed",
    audio_s=180.5,
)
LEAST = {"id": "1", "job_id": SONG, "state": "done", "finished_at": "1"}


def decode(**changes: object) -> Separation:
    return Separation.decode(json.dumps({**LEAST, **changes}).encode())


def test_record_is_read_back() -> None:
    assert Separation.decode(FULL.encode()) == FULL
    assert FULL.work_s == 10.25


def test_missing_fields_have_defaults() -> None:
    assert decode() == Separation(event_id="1", job_id=SONG, state=JobState.DONE, finished_at=1.0)
    assert decode().work_s is None


@pytest.mark.parametrize(
    "changes",
    [
        {"attempts": "many"},
        {"duration_s": "nan"},
        {"started_at": "-1"},
        {"created_at": "1e300"},
        {"options": "["},
        {"options": "[1]"},
        {"model": 5},
        {"newer": {"a": 1}},
    ],
)
def test_invalid_and_unknown_fields_are_ignored(changes: dict[str, object]) -> None:
    assert decode(**changes) == decode()


@pytest.mark.parametrize(
    "entry",
    [b"", b"[]", b"\xff", b"{}", json.dumps({**LEAST, "state": "new"}).encode(), b"[" * 5000],
)
def test_entry_that_cannot_be_read_is_left_out(entry: bytes) -> None:
    batch = HistoryBatch((entry, FULL.encode()))
    assert batch.separations() == [FULL]


def test_time_of_the_latest_enqueue_counts() -> None:
    assert decode(created_at="5", enqueued_at="7").queued_at == 7.0
