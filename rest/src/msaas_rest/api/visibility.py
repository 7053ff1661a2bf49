"""Visibility: which songs, with their jobs and results, a caller of `/apiv1` may see.

A private song, which only accounts sent by the songs API, is hidden from all callers. A caller whose key has
a name sees the songs that keys of this name sent. Sending the same bytes makes a song visible.
"""

import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from msaas.errors import JobNotFound
from msaas.queue.song_registry import SongRegistry
from msaas.songs import source_of
from msaas_rest.http.caller import Caller

#: Names of the arguments of routes that name a job.
_NAMING = ("job_id", "name")


class Mask:
    """Replaces the hash of a hidden song by a random one, which no song has, and back."""

    def __init__(self, song_hash: str) -> None:
        self._hidden = song_hash
        self._shown = secrets.token_hex(32)

    def hide(self, text: str) -> str:
        return text.replace(self._hidden, self._shown)

    def restore(self, body: bytes) -> bytes:
        return body.replace(self._shown.encode(), self._hidden.encode())


def visible_jobs(job_ids: Iterable[str], *, caller: Caller, registry: SongRegistry) -> list[str]:
    """Return those of the jobs that the caller may see, in their order."""
    job_ids = list(job_ids)
    private = registry.private_songs([source_of(job_id) for job_id in job_ids])
    shown = [job_id for job_id in job_ids if source_of(job_id) not in private]
    if caller.sees_all:
        return shown
    known = registry.known_songs(caller.name, [source_of(job_id) for job_id in shown])
    return [job_id for job_id in shown if source_of(job_id) in known]


def check_visible(arguments: dict[str, Any], *, caller: Caller, registry: SongRegistry) -> Mask | None:
    """Let a route answer for a job that the caller may not see as for one that does not exist.

    A caller that sees all songs but private ones could tell a hidden job from an unknown one by the error of
    the route. So the route gets another id, which no song has. Return the replacement.

    Raises:
        JobNotFound: the caller sees the songs of its name only, and this is the song of another one.
    """
    job_id = _job_of_route(arguments)
    if job_id is None or visible_jobs([job_id], caller=caller, registry=registry):
        return None
    if not caller.sees_all:
        raise JobNotFound(f"Job {job_id[:140]} is unknown. Send the song again.")
    mask = Mask(source_of(job_id))
    for name in _NAMING:
        if name in arguments:
            arguments[name] = mask.hide(str(arguments[name]))
    return mask


def _job_of_route(arguments: Mapping[str, Any]) -> str | None:
    """Return the id in the arguments of a route: `job_id`, or the first part of `name`, `<id>-<part>`."""
    if "name" in arguments:
        return str(arguments["name"]).rpartition("-")[0]
    return arguments.get("job_id")
