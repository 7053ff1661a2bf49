"""`GET /apiv1/history`: the separations that have ended, the latest first, page by page."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flask import Blueprint, g, request

from msaas.errors import MalformedRequest
from msaas.jobs import JobState, rfc3339
from msaas.separations import Separation
from msaas.songs import parse_id
from msaas_rest.api.paging import parse_limit
from msaas_rest.api.visibility import visible_jobs
from msaas_rest.bootstrap import Dependencies
from msaas_rest.http.api_keys import Scope

if TYPE_CHECKING:
    from msaas_catalogue import HistoryQuery

MAX_LIMIT = 100
DEFAULT_LIMIT = 20
FILTERS = ("state", "model", "song", "job", "since", "until", "cursor", "limit")


def routes(deps: Dependencies) -> Blueprint:
    blueprint = Blueprint("history", __name__)

    @blueprint.get("/history")
    def list_history() -> dict[str, Any]:
        g.caller.require(Scope.ADMIN)
        page = deps.catalogue.open().history.list_page(parse_query(request.args))
        visible = set(
            visible_jobs([each.job_id for each in page.separations], caller=g.caller, registry=deps.registry)
        )
        shown = [_describe(each) for each in page.separations if each.job_id in visible]
        return {"separations": shown} | ({"next": page.next} if page.next else {})

    return blueprint


def parse_query(query: Mapping[str, str]) -> "HistoryQuery":
    """Read the filters. An empty one counts as absent.

    Raises:
        MalformedRequest: a filter is unknown or invalid.
    """
    from msaas_catalogue import HistoryQuery

    for name in query.keys() - set(FILTERS):
        raise MalformedRequest(f"Field {name[:64]!r} is unknown. Known are {', '.join(FILTERS)}.")
    return HistoryQuery(
        states=_states(query.get("state", "")),
        model=query.get("model", "")[:64],
        song_hash=_id(query, "song"),
        job_id=_id(query, "job"),
        since=_time(query, "since"),
        until=_time(query, "until"),
        cursor=query.get("cursor", ""),
        limit=parse_limit(query, default=DEFAULT_LIMIT, most=MAX_LIMIT),
    )


def _states(text: str) -> frozenset[JobState]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)
    if any(name not in known for name in names):
        raise MalformedRequest(f"Field `state` has an unknown state. Known are {', '.join(known)}.")
    return frozenset(JobState(name) for name in names)


def _id(query: Mapping[str, str], name: str) -> str:
    """Raises `InvalidId`."""
    text = query.get(name, "")
    return parse_id(text) if text else ""


def _time(query: Mapping[str, str], name: str) -> float | None:
    """Return Unix seconds. A time without an offset is UTC."""
    text = query.get(name, "")
    if not text:
        return None
    try:
        # In a query, `+` is a space.
        found = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        return (found if found.tzinfo else datetime.fromisoformat(f"{found.isoformat()}+00:00")).timestamp()
    except (ValueError, OverflowError):
        raise MalformedRequest(
            f"Field `{name}` is not a time. Send RFC 3339, such as 2026-11-29T19:44:33Z."
        ) from None


def _describe(each: Separation) -> dict[str, Any]:
    return {
        "songhash": each.job_id,
        "state": each.state.value,
        "error": each.error_code or None,
        "model": each.model or None,
        "requested_model": each.requested_model or None,
        "weights_sha256": each.weights_sha256 or None,
        "options": dict(each.options),
        "device": each.device or None,
        "attempts": each.attempts,
        "audio_s": each.audio_s,
        "work_s": each.work_s,
        "queued_at": rfc3339(each.queued_at),
        "started_at": rfc3339(each.started_at),
        "finished_at": rfc3339(each.finished_at),
    }
