import json

import pytest

from common.tests.goldens import golden
from msaas.errors import MalformedJob
from msaas.jobs import MAX_MESSAGE_BYTES, Callback, Job, JobError, JobState, JobStatus

SONG = "a" * 64
UNIX_S = 1767323045.5  # 2026-01-02T03:04:05.5Z
PLAIN = Job(SONG)
FULL = Job(
    f"{SONG}.0123456789ab",
    model="htdemucs_ft",
    callback=Callback("http://localhost:5000", data={"mp3": "short.mp3", "n": [1, None]}),
)


@pytest.mark.parametrize(("job", "name"), [(PLAIN, "job_plain.json"), (FULL, "job_full.json")])
def test_a_job_is_this_message(job: Job, name: str) -> None:
    assert job.encode().decode() == golden(name)
    assert Job.decode(golden(name).encode()) == job


@pytest.mark.parametrize(
    "payload",
    [
        SONG,
        f"  {SONG}\n",
        f'"{SONG}"',
        f'{{"hash": "{SONG}"}}',
        f'{{"songhash": "{SONG}"}}',
        f'{{"songhash": "", "hash": "{SONG}"}}',
        f'{{"songhash": "{SONG}", "model": null, "callback": null, "whatever": [1]}}',
        f'{{"songhash": "{SONG}", "callback": "http://localhost"}}',
    ],
)
def test_every_form_in_use_is_a_job(payload: str) -> None:
    assert Job.decode(payload.encode()) == PLAIN


@pytest.mark.parametrize("job_id", ["6ba7b810-9dad-11d1-80b4-00c04fd430c8", "d" * 56])
def test_older_ids_are_ids(job_id: str) -> None:
    assert Job.decode(job_id.encode()).songhash == job_id


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b"[1, 2]",
        b"{}",
        b"null hash",
        b'{"songhash": 7}',
        b'{"songhash": ["a"]}',
        b'{"songhash": "../../etc/passwd"}',
        b'{"songhash": "a", "model": 7}',
        b"\xff\xfb\x90\x00binary",
        b"[" * 10_000 + b"]" * 10_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b"x" * 5_000_000,
        b'{"songhash": "a", "x": ' + b"9" * 5000 + b"}",
        b'{"songhash": "a", "callback": {"url": "http://a/\\ud800"}}',
        b'{"songhash": "a", "model": "\\udfff"}',
    ],
    ids=lambda payload: repr(payload[:24]),
)
def test_anything_else_is_refused_and_kept(payload: bytes) -> None:
    with pytest.raises(MalformedJob) as refused:
        Job.decode(payload)
    assert refused.value.payload == payload
    assert refused.value.detail


def test_a_message_too_long_is_not_even_parsed() -> None:
    padding = " " * MAX_MESSAGE_BYTES
    with pytest.raises(MalformedJob, match="bytes"):
        Job.decode(f'{{"songhash": "{SONG}"}}{padding}'.encode())


RUNNING = JobStatus(
    SONG,
    JobState.RUNNING,
    progress=0.25,
    model="htdemucs",
    device="cpu",
    attempts=2,
    created_at=UNIX_S,
    started_at=UNIX_S + 4.5,
)
FAILED = JobStatus(
    SONG,
    JobState.FAILED,
    attempts=1,
    error=JobError("undecodable_song", "The song cannot be decoded.", "No frame was found."),
    finished_at=UNIX_S,
)


@pytest.mark.parametrize(
    ("status", "name"), [(RUNNING, "status_running.json"), (FAILED, "status_failed.json")]
)
def test_a_state_is_told_in_these_words(status: JobStatus, name: str) -> None:
    told = status.as_json(now=UNIX_S + 24.5)
    assert json.dumps(told, indent=1) == golden(name)


def test_nobody_guesses_how_long_a_job_takes_that_has_not_begun() -> None:
    assert JobStatus(SONG, JobState.RUNNING, started_at=UNIX_S).as_json(now=UNIX_S)["eta_s"] is None
    assert JobStatus(SONG, JobState.DONE, progress=1.0).as_json(now=UNIX_S)["eta_s"] is None
