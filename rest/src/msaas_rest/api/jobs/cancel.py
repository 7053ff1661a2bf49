"""Cancellation of requests for a job."""

from collections.abc import Mapping
from typing import Any

from msaas.errors import MalformedRequest
from msaas.jobs import JobState
from msaas.queue.protocol import Cancellation, JobQueue
from msaas.songs import parse_id
from msaas_rest.http.caller import Caller

_ALL = "all"
_REQUEST_ID = "request_id"


def parse_cancellation(query: Mapping[str, str], *, caller: Caller) -> Cancellation:
    """Read `request_id` or `all=1` of a query. Without them the requests of the caller are meant.

    Raises:
        MalformedRequest: a field is unknown or invalid, or `all` is not for this caller.
    """
    for name in query.keys() - {_ALL, _REQUEST_ID}:
        raise MalformedRequest(f"Field {name[:64]!r} is unknown. Send `request_id`, `all=1` or nothing.")
    is_all, request_id = query.get(_ALL, ""), query.get(_REQUEST_ID, "")
    if is_all not in ("", "1") or (is_all and request_id):
        raise MalformedRequest("Send `request_id`, `all=1` or nothing.")
    if is_all and not caller.sees_all:
        raise MalformedRequest("Field `all` needs a key that sees the requests of all clients.")
    return Cancellation(
        owner=caller.owner,
        request_id=request_id,
        any_owner=caller.sees_all,
        all_requests=bool(is_all),
    )


def cancel_job(job_id: str, which: Cancellation, *, queue: JobQueue) -> dict[str, Any]:
    """Cancel the requests and tell what becomes of the job.

    Raises:
        InvalidId, JobNotFound, JobEnded, NotYourRequest: nothing was cancelled.
    """
    left = queue.cancel(parse_id(job_id), which)
    if not left:
        return _reply(job_id, JobState.CANCELLED, left, "Job cancelled")
    status = queue.status(job_id)
    state = status.state if status else JobState.CANCELLED
    requests = "1 other request" if left == 1 else f"{left} other requests"
    return _reply(job_id, state, left, f"Request cancelled. The job goes on for {requests}")


def _reply(job_id: str, state: JobState, left: int, reason: str) -> dict[str, Any]:
    return {"hash": job_id, "songhash": job_id, "state": state.value, "requests": left, "reason": reason}
