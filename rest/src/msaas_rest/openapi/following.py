"""Routes of the queue and of jobs."""

from functools import partial

from openapi_pydantic import Operation, Parameter, PathItem, Schema

from msaas import errors
from msaas.jobs import JobState
from msaas_rest.api.jobs import listing, waiting
from msaas_rest.api.jobs.callbacks import DELIVERY_ID
from msaas_rest.openapi.downloads import (
    EXAMPLE_FRAGMENTS,
    EXAMPLE_JOB,
    analysis_operation,
    events_operation,
    fragment_operation,
    stem,
)
from msaas_rest.openapi.fields import EXAMPLE_HASH, PART, JobId
from msaas_rest.openapi.messages.following import (
    Cancelled,
    Deliveries,
    Delivery,
    Fragments,
    Jobs,
    JobWithLinks,
    Queue,
)
from msaas_rest.openapi.operations import (
    AUTHORISED,
    CHANGING,
    OF_A_JOB,
    STORED,
    Reply,
    bytes_of,
    in_path,
    in_query,
    operation,
    schema_of,
)

_operation = partial(operation, "jobs")
_LINKS = {
    "stems": {"vocals": f"/apiv1/track/{EXAMPLE_HASH}/vocals.mp3"},
    "archive": f"/apiv1/archive/{EXAMPLE_HASH}.zip",
}
_DELIVERY = {
    "id": "msg_169186ed33e8531ea79ec89d",
    "destination": "https://example.com",
    "state": "pending",
    "attempts": 1,
    "detail": "The receiver answered 503.",
    "next_attempt_at": "2026-11-29T19:46:01.120Z",
}
_STATES = "|".join(JobState)


def job_id() -> Parameter:
    return in_path("job_id", "Id of the job", schema_of(JobId), example=EXAMPLE_HASH)


def part() -> Parameter:
    schema = Schema(type="string", pattern=f"^{PART}$")
    return in_path("part", "A stem, with the extension of a format or without", schema, example="vocals.mp3")


def paths() -> dict[str, PathItem]:
    return {
        "/apiv1/queue": PathItem(get=_queue()),
        "/apiv1/jobs": PathItem(get=_jobs()),
        "/apiv1/job/{job_id}": PathItem(get=_show(), delete=_cancel()),
        "/apiv1/job/{job_id}/events": PathItem(get=_events()),
        "/apiv1/job/{job_id}/pieces": PathItem(get=_fragments()),
        "/apiv1/job/{job_id}/pieces/{part}/{number}": PathItem(get=_fragment()),
        "/apiv1/job/{job_id}/peaks/{part}": PathItem(get=_peaks()),
        "/apiv1/job/{job_id}/analysis": PathItem(get=_analysis()),
        "/apiv1/job/{job_id}/callbacks": PathItem(get=_callbacks()),
        "/apiv1/job/{job_id}/callbacks/{delivery_id}/redeliver": PathItem(post=_redeliver()),
    }


def _limit(default: int, most: int) -> Parameter:
    schema = Schema(type="integer", minimum=1, maximum=most, default=default)
    return in_query("limit", "Length of the page", schema)


def _queue() -> Operation:
    cursor = Schema(type="string", pattern="^([0-9]{1,9})?$")
    return _operation(
        "List waiting jobs, next first",
        name="list_queue",
        parameters=[
            _limit(waiting.MAX_LIMIT, waiting.MAX_LIMIT),
            in_query("cursor", "`next` of the page before", cursor),
        ],
        replies={200: Reply(description="A page of ids", model=Queue, example={"queue": [EXAMPLE_HASH]})},
        raises=(*AUTHORISED, errors.MalformedRequest),
    )


def _jobs() -> Operation:
    state = Schema(type="string", pattern=f"^(({_STATES})(,({_STATES}))*)?$")
    cursor = Schema(type="string", pattern=f"^({listing.CURSOR_PATTERN})?$")
    return _operation(
        "List the latest jobs, newest first",
        name="list_jobs",
        parameters=[
            in_query(
                "state", "Only jobs in these states, with commas between", state, example="queued,running"
            ),
            _limit(listing.DEFAULT_LIMIT, listing.MAX_LIMIT),
            in_query("cursor", "`next` of the page before", cursor),
        ],
        replies={200: Reply(description="A page of jobs", model=Jobs, example={"jobs": [EXAMPLE_JOB]})},
        raises=(*AUTHORISED, errors.MalformedRequest),
    )


def _show() -> Operation:
    return _operation(
        "Show the status of a job",
        name="show_job",
        parameters=[job_id()],
        replies={
            200: Reply(description="The status", model=JobWithLinks, example={**EXAMPLE_JOB, "links": _LINKS})
        },
        raises=(*OF_A_JOB, *STORED),
    )


def _cancel() -> Operation:
    example = {
        "hash": EXAMPLE_HASH,
        "songhash": EXAMPLE_HASH,
        "state": "cancelled",
        "requests": 0,
        "reason": "Job cancelled",
    }
    return _operation(
        "Cancel a job",
        name="cancel_job",
        description="Cancels the requests of the caller, or those that the query names. The job ends when "
        "all requests for it are cancelled.",
        parameters=[
            job_id(),
            in_query("request_id", "Only the request with this id", schema_of(str)),
            in_query("all", "The requests of all clients", Schema(type="string", enum=["1"])),
        ],
        replies={200: Reply(description="Cancelled", model=Cancelled, example=example)},
        raises=(*OF_A_JOB, *CHANGING, errors.MalformedRequest, errors.JobEnded, errors.NotYourRequest),
    )


def _events() -> Operation:
    return events_operation(
        _operation,
        "Follow a job by server-sent events",
        name="follow_job",
        description="Each event has the job object, at most one second old. The stream ends with the job.",
        of=job_id(),
        raises=(*OF_A_JOB, *STORED),
    )


def _fragments() -> Operation:
    example = {"songhash": EXAMPLE_HASH, **EXAMPLE_FRAGMENTS}
    return _operation(
        "List the fragments of a running job",
        name="list_fragments",
        parameters=[job_id()],
        replies={200: Reply(description="The fragments", model=Fragments, example=example)},
        raises=(*OF_A_JOB, errors.FragmentNotFound),
    )


def _fragment() -> Operation:
    return fragment_operation(
        _operation,
        "Download a fragment of a running job",
        name="download_fragment",
        of=job_id(),
        raises=(*OF_A_JOB, *STORED),
    )


def _peaks() -> Operation:
    return _operation(
        "Download the peaks of a stem",
        name="download_peaks",
        description="Pairs of signed bytes: the lowest and the highest of 512 samples of both channels. "
        "Full scale is 127. While the job runs, they cover its fragments.",
        parameters=[job_id(), stem()],
        replies={
            200: Reply(description="The peaks", content=bytes_of("application/octet-stream")),
            304: Reply(description="The client has them."),
        },
        raises=(*OF_A_JOB, *STORED, errors.UnknownStem, errors.PeaksNotFound),
    )


def _analysis() -> Operation:
    return analysis_operation(
        _operation,
        "Get loudness, key, tempo and beats of the song",
        name="show_analysis",
        of=job_id(),
        raises=(*OF_A_JOB, *STORED),
    )


def _callbacks() -> Operation:
    example = {"callbacks": [_DELIVERY]}
    return _operation(
        "List the callbacks of a job",
        name="list_callbacks",
        parameters=[job_id()],
        replies={200: Reply(description="The callbacks", model=Deliveries, example=example)},
        raises=(*OF_A_JOB, *STORED),
    )


def _redeliver() -> Operation:
    delivery = Schema(type="string", pattern=f"^{DELIVERY_ID.pattern}$")
    return _operation(
        "Send a callback again",
        name="redeliver_callback",
        parameters=[
            job_id(),
            in_path("delivery_id", "Id of the callback", delivery, example=_DELIVERY["id"]),
        ],
        replies={200: Reply(description="The callback is due", model=Delivery, example=_DELIVERY)},
        raises=(*OF_A_JOB, *CHANGING, errors.CallbackNotFound, errors.CallbackNotReady),
    )
