"""`GET /apiv1/jobs`: the latest jobs, newest first, page by page."""

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from msaas.errors import MalformedRequest
from msaas.jobs import JobState, JobStatus
from msaas.queue.protocol import JobQueue, Listed
from msaas.queue.song_registry import SongRegistry
from msaas_rest.api.paging import parse_limit
from msaas_rest.api.visibility import visible_jobs
from msaas_rest.http.caller import Caller

MAX_LIMIT = 100
DEFAULT_LIMIT = 20
#: Jobs that are read at once, and at most for one page: a rare state must not cost much.
_BATCH = 100
_MAX_READ = 2000
CURSOR_PATTERN = r"(?P<at>[0-9]{1,12}(\.[0-9]{1,9})?)_(?P<job_id>[A-Za-z0-9][A-Za-z0-9_.-]{0,127})"
_CURSOR = re.compile(CURSOR_PATTERN)


@dataclass(frozen=True, kw_only=True)
class Page:
    """`before` is the last job of the page before. An empty `states` means all."""

    limit: int = DEFAULT_LIMIT
    before: Listed | None = None
    states: frozenset[JobState] = frozenset()


def parse_page(query: Mapping[str, str]) -> Page:
    """Read `limit`, `cursor`, which is the `next` of another page, and `state`, separated by commas.

    Raises:
        MalformedRequest: one of them is invalid.
    """
    return Page(
        limit=parse_limit(query, default=DEFAULT_LIMIT, most=MAX_LIMIT),
        before=_parse_cursor(query.get("cursor", "")),
        states=_states(query.get("state", "")),
    )


def _parse_cursor(text: str) -> Listed | None:
    if not text:
        return None
    if not (found := _CURSOR.fullmatch(text)):
        raise MalformedRequest("Field `cursor` is not the `next` of another page.")
    return Listed(found["job_id"], float(found["at"]))


def _states(text: str) -> frozenset[JobState]:
    try:
        return frozenset(JobState(name.strip()) for name in text.split(",") if name.strip())
    except ValueError:
        states = ", ".join(JobState)
        raise MalformedRequest(f"Field `state` has an unknown state. Known are {states}.") from None


def list_jobs(page: Page, *, caller: Caller, queue: JobQueue, registry: SongRegistry) -> dict[str, Any]:
    """Return `{"jobs": [job objects]}`, with the cursor `next` if there may be further ones."""
    found: list[JobStatus] = []
    last, read = page.before, 0
    for listed, status in _statuses(page.before, caller=caller, queue=queue, registry=registry):
        last, read = listed, read + 1
        if status and (not page.states or status.state in page.states):
            found.append(status)
        if len(found) == page.limit or read == _MAX_READ:
            break
    else:
        last = None
    now = time.time()
    jobs = {"jobs": [status.as_json(now=now) for status in found]}
    return jobs | ({"next": f"{last.at!r}_{last.job_id}"} if last else {})


def _statuses(
    before: Listed | None, *, caller: Caller, queue: JobQueue, registry: SongRegistry
) -> Iterator[tuple[Listed, JobStatus | None]]:
    """Yield the listed jobs with their status, None for one that the caller may not see."""
    while batch := queue.list_jobs(before=before, limit=_BATCH):
        visible = visible_jobs([each.job_id for each in batch], caller=caller, registry=registry)
        statuses = dict(zip(visible, queue.statuses(visible), strict=True))
        for listed in batch:
            yield listed, _status_of(listed, statuses)
        before = batch[-1]


def _status_of(listed: Listed, statuses: Mapping[str, JobStatus | None]) -> JobStatus | None:
    """A listed job without a record was done when it was asked for."""
    if listed.job_id not in statuses:
        return None
    done = JobStatus(job_id=listed.job_id, state=JobState.DONE, progress=1.0)
    return statuses[listed.job_id] or done
