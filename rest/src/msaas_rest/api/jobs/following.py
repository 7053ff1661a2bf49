"""The answer that follows a job by server-sent events. Both APIs send it."""

from http import HTTPStatus

from flask import Response, request

from msaas.jobs import JobStatus
from msaas_rest.job_events import Event, JobEvents

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def follow(status: JobStatus, *, events: JobEvents, client: str) -> Response:
    """Return the stream of the job's events, which begins with `status`.

    Raises:
        TooBusy: there are too many streams.
    """
    last_id = request.headers.get("Last-Event-ID", "")
    event = Event.of(status)
    if event.is_last and event.id == last_id:
        # A browser connects again after the end, unless this tells it that nothing follows.
        return Response(status=HTTPStatus.NO_CONTENT.value, headers=_HEADERS)
    if request.method == "HEAD":
        return Response(mimetype="text/event-stream", headers=_HEADERS)
    return Response(
        # The bridge iterates it.
        events.open(status.job_id, event, client=client, last_id=last_id),  # type: ignore[arg-type]
        mimetype="text/event-stream",
        headers=_HEADERS,
        direct_passthrough=True,
    )
