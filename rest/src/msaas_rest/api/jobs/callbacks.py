"""Delivery states of a job's callbacks.

Anyone with the job id can read them, but never the whole URL or the payload, which may hold credentials.
"""

import re
from typing import Any
from urllib.parse import urlsplit

from msaas.errors import CallbackNotFound
from msaas.jobs import rfc3339
from msaas.queue.outbox import Delivery, Outbox
from msaas.queue.protocol import JobQueue
from msaas.songs import parse_id
from msaas.storage.song_store import SongStore
from msaas_rest.api.jobs.status import find_status

DELIVERY_ID = re.compile(r"msg_[0-9a-f]{24}")


def find_callbacks(job_id: str, *, queue: JobQueue, outbox: Outbox, song_store: SongStore) -> list[Delivery]:
    """Return the callbacks of a job, none if it was sent without.

    Raises:
        InvalidId, JobNotFound: the job is unknown.
    """
    found = outbox.deliveries(parse_id(job_id))
    if not found:
        find_status(job_id, queue=queue, song_store=song_store)
    return found


def redeliver(delivery_id: str, *, job_id: str, outbox: Outbox) -> Delivery:
    """Make the callback due again, with all its attempts, and return it.

    Raises:
        InvalidId, CallbackNotFound: the job has no such callback.
        CallbackNotReady: its job has not ended, or the callback was skipped.
    """
    if not DELIVERY_ID.fullmatch(delivery_id):
        raise CallbackNotFound(f"Job {job_id[:140]!r} has no callback {delivery_id[:140]!r}.")
    return outbox.redeliver(delivery_id, job_id=parse_id(job_id))


def describe_delivery(delivery: Delivery) -> dict[str, Any]:
    """Return the public facts: of the URL only scheme, host and port."""
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
