"""Encoding of jobs, their status and their callbacks in the fields and arguments of Redis."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from msaas.errors import MalformedJob
from msaas.fragments import Fragments
from msaas.jobs import Callback, Job, JobError, JobState, JobStatus
from msaas.queue.outbox import MAX_LISTED, data_json, size_of
from msaas.queue.protocol import QueuePolicy

T = TypeVar("T")

#: The last second of the year 9999, the end of RFC 3339.
_MAX_UNIX_S = 253402300799


def callback_json(callback: Callback | None) -> str:
    """Return the argument of the Lua steps, with `data` as JSON text. Missing fields are empty."""
    if callback is None:
        return ""
    fields = {
        "url": callback.url,
        "data": data_json(callback),
        "secret": callback.secret or "",
        "events": ",".join(callback.events),
        "bytes": size_of(callback),
    }
    return json.dumps(fields)


def limits_json(policy: QueuePolicy) -> str:
    """Return the limits of callbacks as an argument of the Lua steps."""
    limits = {
        "listed": MAX_LISTED,
        "job_bytes": policy.max_job_callback_bytes,
        "bytes": policy.max_callback_bytes,
    }
    return json.dumps(limits)


def id_or_none(payload: bytes) -> str | None:
    """Return the id of the job in a queue entry, None for a malformed entry."""
    try:
        return Job.decode(payload).job_id
    except MalformedJob:
        return None


def error_json(error: JobError | None) -> str:
    return json.dumps(vars(error)) if error else ""


def status_of(job_id: str, *, fields: dict[str, str]) -> JobStatus:
    """Return the status in the hash of a job. Fields of a newer version and invalid values are ignored."""
    return JobStatus(
        job_id=job_id,
        state=_state_of(fields),
        progress=_number(fields.get("progress"), most=1.0) or 0.0,
        model=fields.get("model"),
        requested_model=fields.get("requested_model"),
        device=fields.get("device"),
        attempts=int(_number(fields.get("attempts"), most=1e9) or 0),
        stems=_parse(_stems, fields.get("stems")) or (),
        error=_parse(JobError.decode, fields.get("error")),
        created_at=_seconds(fields.get("created_at")),
        started_at=_seconds(fields.get("started_at")),
        finished_at=_seconds(fields.get("finished_at")),
        fragments=_parse(Fragments.decode, fields.get("pieces")),
        duration_s=_number(fields.get("duration_s"), most=_MAX_UNIX_S),
    )


def _state_of(fields: dict[str, str]) -> JobState:
    """Return the state. One of a newer version becomes the nearest state that is known here."""
    with suppress(ValueError):
        return JobState(fields.get("state", JobState.QUEUED))
    if "finished_at" in fields:
        return JobState.FAILED
    return JobState.RUNNING if "lease_until" in fields else JobState.QUEUED


def _parse(decode: Callable[[str], T], field: str | None) -> T | None:
    """Return the decoded field, None if it is missing or invalid."""
    with suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return decode(field) if field else None
    return None


def _stems(field: str) -> tuple[str, ...]:
    found = json.loads(field)
    return tuple(stem for stem in found if isinstance(stem, str)) if isinstance(found, list) else ()


def _number(field: str | None, *, most: float) -> float | None:
    """Return a number from 0 to `most`. Another text, NaN or infinity is None."""
    value = _parse(float, field)
    return value if value is not None and 0 <= value <= most else None


def _seconds(field: str | None) -> float | None:
    return _number(field, most=_MAX_UNIX_S)


def text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
