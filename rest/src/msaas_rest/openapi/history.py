"""`GET /apiv1/history`."""

from typing import Any

from openapi_pydantic import PathItem, Schema

from msaas import errors
from msaas_rest.api.history import DEFAULT_LIMIT, MAX_LIMIT
from msaas_rest.openapi.fields import EXAMPLE_HASH
from msaas_rest.openapi.messages.following import History
from msaas_rest.openapi.operations import AUTHORISED, Reply, in_query, operation, schema_of

_SEPARATION: dict[str, Any] = {
    "songhash": EXAMPLE_HASH,
    "state": "done",
    "error": None,
    "model": "htdemucs",
    "requested_model": "htdemucs",
    "weights_sha256": 64 * "0",
    "options": {},
    "device": "cpu",
    "attempts": 1,
    "audio_s": 19.04,
    "work_s": 3.09,
    "queued_at": "2026-11-29T19:44:33.398Z",
    "started_at": "2026-11-29T19:44:33.431Z",
    "finished_at": "2026-11-29T19:44:36.522Z",
}
_ENDS = "done|failed|cancelled"


def paths() -> dict[str, PathItem]:
    text = schema_of(str)
    state = Schema(type="string", pattern=f"^(({_ENDS})(,({_ENDS}))*)?$")
    limit = Schema(type="integer", minimum=1, maximum=MAX_LIMIT, default=DEFAULT_LIMIT)
    listing = operation(
        "jobs",
        "List the separations that have ended, the latest first",
        name="list_history",
        description="Needs a key of the scope `admin`. A page may have fewer separations than `limit`.",
        parameters=[
            in_query("state", "Only these ends, with commas between", state, example="failed"),
            in_query("model", "Only this model", text, example="htdemucs"),
            in_query("song", "Only the song with this SHA-256", text),
            in_query("job", "Only the job with this id", text),
            in_query("since", "Only ends from this time on", text, example="2026-11-01T00:00:00Z"),
            in_query("until", "Only ends before this time", text, example="2026-12-01T00:00:00Z"),
            in_query("limit", "Length of the page", limit),
            in_query("cursor", "`next` of the page before", text),
        ],
        replies={200: Reply(description="A page", model=History, example={"separations": [_SEPARATION]})},
        raises=(
            *AUTHORISED,
            errors.MalformedRequest,
            errors.InvalidFields,
            errors.InvalidId,
            errors.DatabaseUnavailable,
        ),
    )
    return {"/apiv1/history": PathItem(get=listing)}
