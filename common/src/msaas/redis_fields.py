"""How jobs, their states and their callbacks are written in fields and arguments of Redis."""

import json
from typing import Any

from msaas.errors import MalformedJob
from msaas.jobs import Callback, Job, JobError, JobState, JobStatus
from msaas.pieces import Pieces


def callback_args(callback: Callback | None) -> tuple[str, str, str]:
    if callback is None:
        return "", "", ""
    data = "" if callback.data is None else json.dumps(callback.data)
    return callback.url, data, callback.secret or ""


def id_or_none(payload: bytes) -> str | None:
    try:
        return Job.decode(payload).songhash
    except MalformedJob:
        return None


def error_json(error: JobError) -> str:
    return json.dumps(vars(error))


def status_of(job_id: str, *, fields: dict[str, str]) -> JobStatus:
    return JobStatus(
        job_id,
        JobState(fields.get("state", JobState.QUEUED)),
        progress=float(fields.get("progress", 0)),
        model=fields.get("model"),
        device=fields.get("device"),
        attempts=int(fields.get("attempts", 0)),
        stems=tuple(json.loads(fields.get("stems", "[]"))),
        error=JobError(**json.loads(fields["error"])) if "error" in fields else None,
        created_at=_seconds(fields.get("created_at")),
        started_at=_seconds(fields.get("started_at")),
        finished_at=_seconds(fields.get("finished_at")),
        pieces=Pieces.decode(fields["pieces"]) if "pieces" in fields else None,
    )


def _seconds(field: str | None) -> float | None:
    return float(field) if field else None


def text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
