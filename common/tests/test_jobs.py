"""Jobs: their message on the queue and their status."""

import json

import pytest

from common.tests.goldens import golden
from msaas.errors import InvalidCallback, MalformedJob
from msaas.jobs import EVENTS, MAX_MESSAGE_BYTES, Callback, Job, JobError, JobState, JobStatus, parse_events

SONG = "a" * 64
UNIX_S = 1767323045.5  # 2026-01-02T03:04:05.5Z
PLAIN = Job(job_id=SONG)
FULL = Job(
    job_id=f"{SONG}.0123456789ab",
    options={"model": "htdemucs_ft"},
    callback=Callback("http://localhost:5000", data={"mp3": "short.mp3", "n": [1, None]}),
)


@pytest.mark.parametrize(("job", "name"), [(PLAIN, "job_plain.json"), (FULL, "job_full.json")])
def test_job_has_its_golden_message(job: Job, name: str) -> None:
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
        f'{{"songhash": "{SONG}", "model": null, "callback": null, "meta": {{"whatever": [1]}}}}',
        f'{{"songhash": "{SONG}", "callback": {{}}, "meta": "text"}}',
        f"{SONG.upper()}.mp3",
        f'{{"hash": "{SONG}.mp3"}}',
        f'{{"songhash": "{SONG}", "callback": "http://localhost"}}',
    ],
)
def test_every_message_form_in_use_is_a_job(payload: str) -> None:
    assert Job.decode(payload.encode()) == PLAIN


@pytest.mark.parametrize("job_id", ["6ba7b810-9dad-11d1-80b4-00c04fd430c8", "d" * 56])
def test_older_ids_are_accepted(job_id: str) -> None:
    assert Job.decode(job_id.encode()).job_id == job_id


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
def test_other_entries_are_refused_and_kept(payload: bytes) -> None:
    with pytest.raises(MalformedJob) as refused:
        Job.decode(payload)
    assert refused.value.payload == payload
    assert refused.value.detail


def test_long_message_is_refused_unparsed() -> None:
    padding = " " * MAX_MESSAGE_BYTES
    with pytest.raises(MalformedJob, match="bytes"):
        Job.decode(f'{{"songhash": "{SONG}"}}{padding}'.encode())


RUNNING = JobStatus(
    job_id=SONG,
    state=JobState.RUNNING,
    progress=0.25,
    model="htdemucs",
    device="cpu",
    attempts=2,
    created_at=UNIX_S,
    started_at=UNIX_S + 4.5,
)
FAILED = JobStatus(
    job_id=SONG,
    state=JobState.FAILED,
    attempts=1,
    error=JobError("undecodable_song", "The song cannot be decoded.", "No frame was found."),
    finished_at=UNIX_S,
)


@pytest.mark.parametrize(
    ("status", "name"), [(RUNNING, "status_running.json"), (FAILED, "status_failed.json")]
)
def test_status_has_its_golden_json(status: JobStatus, name: str) -> None:
    told = status.as_json(now=UNIX_S + 24.5)
    assert json.dumps(told, indent=1) == golden(name)


def test_eta_is_unknown_without_progress() -> None:
    assert (
        JobStatus(job_id=SONG, state=JobState.RUNNING, started_at=UNIX_S).as_json(now=UNIX_S)["eta_s"] is None
    )
    assert JobStatus(job_id=SONG, state=JobState.DONE, progress=1.0).as_json(now=UNIX_S)["eta_s"] is None


def test_request_id_travels_beside_the_options() -> None:
    job = Job(job_id=SONG, request_id="req-1")
    assert json.loads(job.encode())["meta"] == {"request_id": "req-1"}
    assert Job.decode(job.encode()) == job
    assert Job.decode(job.encode()).options == {}


def test_error_of_a_newer_version_is_readable() -> None:
    text = json.dumps({"code": "c", "title": "t", "detail": "d", "hint": "new"})
    assert JobError.decode(text) == JobError("c", "t", "d")


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", '[0, {"a": Infinity}]'])
def test_message_with_an_infinite_number_is_a_job_without_a_callback(number: str) -> None:
    message = f'{{"songhash": "{SONG}", "callback": {{"url": "http://there/", "data": {number}}}}}'
    assert Job.decode(message.encode()) == Job(job_id=SONG)


def test_events_of_a_callback_travel_in_its_message() -> None:
    job = Job(job_id=SONG, callback=Callback("http://there/", {"n": 1}, events=("failed",)))
    assert json.loads(job.encode())["callback"]["events"] == ["failed"]
    assert Job.decode(job.encode()) == job


@pytest.mark.parametrize(
    ("value", "events"),
    [(None, ()), (["done"], ("done",)), (["cancelled", "failed", "done", "done"], EVENTS)],
)
def test_events_are_parsed_in_order(value: list[str] | None, events: tuple[str, ...]) -> None:
    assert parse_events(value) == events


@pytest.mark.parametrize("value", [[], "done", {}, ["queued"], [1], [["done"]], 0])
def test_unknown_events_are_refused(value: object) -> None:
    with pytest.raises(InvalidCallback, match=r"callback\.events"):
        parse_events(value)
