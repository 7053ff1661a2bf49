"""Visibility: which songs, with their jobs and results, a caller of `/apiv1` may see.

A caller whose key has a name sees the songs that keys of this name sent. Sending the same bytes makes a song
visible.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from msaas.errors import JobNotFound
from msaas.queue.protocol import JobQueue
from msaas.songs import source_of
from msaas_rest.http.caller import Caller


def visible_jobs(job_ids: Iterable[str], *, caller: Caller, queue: JobQueue) -> list[str]:
    """Return those of the jobs that the caller may see, in their order."""
    job_ids = list(job_ids)
    if caller.sees_all:
        return job_ids
    known = queue.known_songs(caller.name, [source_of(job_id) for job_id in job_ids])
    return [job_id for job_id in job_ids if source_of(job_id) in known]


def check_visible(job_id: str, *, caller: Caller, queue: JobQueue) -> None:
    """Raises `JobNotFound` for a job that the caller may not see, as for one that does not exist."""
    if not visible_jobs([job_id], caller=caller, queue=queue):
        raise JobNotFound(f"Job {job_id[:140]} is unknown. Send the song again.")


def job_of_route(arguments: Mapping[str, Any] | None) -> str | None:
    """Return the id in the arguments of a route: `job_id`, or the first part of `name`, `<id>-<part>`."""
    if arguments is None:
        return None
    if "name" in arguments:
        return str(arguments["name"]).rpartition("-")[0]
    return arguments.get("job_id")
