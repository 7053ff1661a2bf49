"""Fragments of the stems of a running job, by number."""

import re
from typing import Any

from msaas.errors import FragmentNotFound
from msaas.fragments import Fragments
from msaas.models import parse_part
from msaas.queue.protocol import JobQueue
from msaas.songs import parse_id
from msaas.storage.protocol import OpenObject
from msaas.storage.song_store import SongStore

_NUMBER = re.compile(r"[1-9][0-9]{0,5}")


def find_fragments(job_id: str, *, queue: JobQueue) -> Fragments:
    """Return the fragments of the running attempt. Raises `InvalidId` or `FragmentNotFound`."""
    status = queue.status(parse_id(job_id))
    if status is None or status.fragments is None or not status.fragments.count:
        raise FragmentNotFound(
            f"Job {job_id} has no fragments now: it has not made one yet, or has ended. Ask for its status."
        )
    return status.fragments


def describe_fragments(fragments: Fragments) -> dict[str, Any]:
    return {
        "playable_until_s": fragments.until_s,
        "stems": list(fragments.stems),
        "pieces": fragments.count,
    }


def open_fragment(
    job_id: str, part: str, number: str, *, queue: JobQueue, song_store: SongStore
) -> OpenObject:
    """Return the MP3. Raises `InvalidId`, `UnknownStem` or `FragmentNotFound`."""
    stem = parse_part(part)
    fragments = find_fragments(job_id, queue=queue)
    if stem not in fragments.stems or not _NUMBER.fullmatch(number) or int(number) > fragments.count:
        raise FragmentNotFound(
            f"Fragment {number[:20]!r} of {stem} does not exist. "
            f"Job {fragments.job_id} has fragments 1 to {fragments.count} of {', '.join(fragments.stems)}."
        )
    return song_store.fragments.open_fragment(fragments, stem, number=int(number))
