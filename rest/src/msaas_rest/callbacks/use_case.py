"""Who knows a job may read how its callbacks fare; where exactly they go and what they say, nobody."""

import re
from typing import Any
from urllib.parse import urlsplit

from msaas.errors import CallbackNotFound
from msaas.jobs import rfc3339
from msaas.queue import Delivery, JobQueue, Outbox
from msaas.songs import parse_id
from msaas.tracks import Tracks
from msaas_rest.jobs.use_case import status_of

_DELIVERY_ID = re.compile(r"msg_[0-9a-f]{24}")


def callbacks_of(job_id: str, *, queue: JobQueue, outbox: Outbox, tracks: Tracks) -> list[Delivery]:
    """Raises `InvalidId` or `JobNotFound`."""
    found = outbox.deliveries(parse_id(job_id))
    if not found:
        status_of(job_id, queue=queue, tracks=tracks)
    return found


def redeliver(delivery_id: str, *, job_id: str, outbox: Outbox) -> Delivery:
    """Raises `InvalidId`, `CallbackNotFound` or `CallbackNotReady`."""
    if not _DELIVERY_ID.fullmatch(delivery_id):
        raise CallbackNotFound(repr(delivery_id[:140]))
    return outbox.redeliver(delivery_id, job_id=parse_id(job_id))


def shown(delivery: Delivery) -> dict[str, Any]:
    """Another client may have sent the same song: of its URL nobody sees what could be a password."""
    return {
        "id": delivery.id,
        "destination": _origin(delivery.url),
        "state": delivery.state,
        "attempts": delivery.attempts,
        "detail": delivery.detail,
        "next_attempt_at": rfc3339(delivery.due_at),
    }


def _origin(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return None
    return f"{parts.scheme}://{host}{port}" if parts.scheme and host else None
