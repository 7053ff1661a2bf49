"""Encoding of jobs, their status and their callbacks in the fields and arguments of Redis."""

import json
from contextlib import suppress
from typing import Any

from msaas.errors import MalformedJob
from msaas.fragments import Fragments
from msaas.jobs import Callback, Job, JobError, JobState, JobStatus


def callback_json(callback: Callback | None) -> str:
    """Return the argument of the Lua steps: url, data as JSON text, secret. Missing ones are empty."""
    if callback is None:
        return ""
    data = "" if callback.data is None else json.dumps(callback.data)
    return json.dumps({"url": callback.url, "data": data, "secret": callback.secret or ""})


def id_or_none(payload: bytes) -> str | None:
    """Return the id of the job in a queue entry, None for a malformed entry."""
    try:
        return Job.decode(payload).job_id
    except MalformedJob:
        return None


def error_json(error: JobError | None) -> str:
    return json.dumps(vars(error)) if error else ""


def status_of(job_id: str, *, fields: dict[str, str]) -> JobStatus:
    """Return the status in the hash of a job. Fields of a newer version are ignored."""
    return JobStatus(
        job_id=job_id,
        state=_state_of(fields),
        progress=float(fields.get("progress", 0)),
        model=fields.get("model"),
        requested_model=fields.get("requested_model"),
        device=fields.get("device"),
        attempts=int(fields.get("attempts", 0)),
        stems=tuple(json.loads(fields.get("stems", "[]"))),
        error=JobError.decode(fields["error"]) if "error" in fields else None,
        created_at=_seconds(fields.get("created_at")),
        started_at=_seconds(fields.get("started_at")),
        finished_at=_seconds(fields.get("finished_at")),
        fragments=Fragments.decode(fields["pieces"]) if "pieces" in fields else None,
    )


def _state_of(fields: dict[str, str]) -> JobState:
    """Return the state. One of a newer version becomes the nearest state that is known here."""
    with suppress(ValueError):
        return JobState(fields.get("state", JobState.QUEUED))
    if "finished_at" in fields:
        return JobState.FAILED
    return JobState.RUNNING if "lease_until" in fields else JobState.QUEUED


def _seconds(field: str | None) -> float | None:
    return float(field) if field else None


def text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
