"""The list of waiting jobs, page by page."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msaas.errors import MalformedRequest
from msaas.queue.protocol import JobQueue
from msaas.queue.song_registry import SongRegistry
from msaas_rest.api.paging import parse_limit
from msaas_rest.api.visibility import visible_jobs
from msaas_rest.http.caller import Caller

#: Also the default. A page of ids takes less than 100 kB.
MAX_LIMIT = 1000
_CURSOR = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class Page:
    offset: int = 0
    limit: int = MAX_LIMIT


def parse_page(query: Mapping[str, str]) -> Page:
    """Read `cursor`, the `next` of another page, and `limit`.

    Raises:
        MalformedRequest: one of them is invalid.
    """
    cursor = query.get("cursor", "") or "0"
    if not _CURSOR.fullmatch(cursor):
        raise MalformedRequest("Field `cursor` is not the `next` of another page.")
    return Page(offset=int(cursor), limit=parse_limit(query, default=MAX_LIMIT, most=MAX_LIMIT))


def list_waiting(page: Page, *, caller: Caller, queue: JobQueue, registry: SongRegistry) -> dict[str, Any]:
    """Return `{"queue": [ids]}` of the jobs that the caller may see, with the cursor `next` if others wait.

    The cursor is the position after the page. Jobs that start meanwhile move the others forward.
    """
    waiting = queue.waiting(offset=page.offset, limit=page.limit)
    ids = visible_jobs(waiting, caller=caller, registry=registry)
    end = page.offset + page.limit
    return {"queue": ids} | ({"next": str(end)} if queue.depth().waiting > end else {})
