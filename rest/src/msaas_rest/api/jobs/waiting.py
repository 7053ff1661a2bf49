"""The list of waiting jobs, page by page."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msaas.errors import MalformedRequest
from msaas.queue.protocol import JobQueue
from msaas_rest.api.visibility import visible_jobs
from msaas_rest.http.caller import Caller

#: Also the default. A page of ids takes less than 100 kB.
MAX_LIMIT = 1000
_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class Page:
    offset: int = 0
    limit: int = MAX_LIMIT


def parse_page(query: Mapping[str, str]) -> Page:
    """Read `cursor`, the `next` of another page, and `limit`.

    Raises:
        MalformedRequest: one of them is invalid.
    """
    limit = _number(query, "limit", default=MAX_LIMIT)
    if not 1 <= limit <= MAX_LIMIT:
        raise MalformedRequest(f"Field `limit` must be a number from 1 to {MAX_LIMIT}.")
    return Page(offset=_number(query, "cursor", default=0), limit=limit)


def _number(query: Mapping[str, str], name: str, *, default: int) -> int:
    text = query.get(name, "")
    if text and not _NUMBER.fullmatch(text):
        raise MalformedRequest(f"Field `{name}` is not a number.")
    return int(text) if text else default


def list_waiting(page: Page, *, caller: Caller, queue: JobQueue) -> dict[str, Any]:
    """Return `{"queue": [ids]}` of the jobs that the caller may see, with the cursor `next` if others wait.

    The cursor is the position after the page. Jobs that start meanwhile move the others forward.
    """
    ids = visible_jobs(queue.waiting(offset=page.offset, limit=page.limit), caller=caller, queue=queue)
    end = page.offset + page.limit
    return {"queue": ids} | ({"next": str(end)} if queue.depth().waiting > end else {})
