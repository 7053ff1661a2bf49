"""Songs as clients see them: five fields, and further ones on demand."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from msaas.errors import InvalidFields
from msaas.jobs import JobState, JobStatus, rfc3339
from msaas.queue.protocol import JobQueue
from msaas.storage.song_store import SongStore

if TYPE_CHECKING:
    from msaas_catalogue import Song


class SongState(StrEnum):
    """`SPLITTING` begins with the first separated segment. A failed job is `UPLOADED`, with an error."""

    UPLOADING = "UPLOADING"
    UPLOADED = "UPLOADED"
    SPLITTING = "SPLITTING"
    SPLIT = "SPLIT"


_CANCELLED = {
    "code": "cancelled",
    "title": "The separation was cancelled.",
    "detail": "The separation was cancelled. Upload the song again.",
}
_FURTHER: Mapping[str, Callable[["Song", JobStatus | None], Any]] = {
    "created_at": lambda song, _: rfc3339(song.created_at),
    "recipe": lambda song, _: dict(song.options),
    "job_id": lambda song, _: song.job_id,
    "error": lambda _, status: _error_of(status),
    "progress": lambda _, status: status.progress if status else 0.0,
    "position": lambda _, status: status.position if status else None,
    "duration_s": lambda _, status: status.duration_s if status else None,
    "model": lambda _, status: status.model if status else None,
    "stems": lambda _, status: list(status.stems) if status else [],
}
FIELDS = tuple(_FURTHER)


def parse_fields(text: str) -> tuple[str, ...]:
    """Read names of further fields, with commas between.

    Raises:
        InvalidFields: for `fields`.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in _FURTHER:
            known = ", ".join(FIELDS)
            raise InvalidFields(fields={"fields": [f"Field {name[:64]!r} is unknown. Known are {known}."]})
    return names


@dataclass(frozen=True, kw_only=True)
class Describer:
    """Describes songs by the queue and the store. Every method raises `Unavailable`."""

    queue: JobQueue
    song_store: SongStore

    def describe(self, song: "Song", fields: Sequence[str] = ()) -> dict[str, Any]:
        return self.describe_all([song], fields)[0]

    def describe_all(self, songs: Sequence["Song"], fields: Sequence[str] = ()) -> list[dict[str, Any]]:
        statuses = self.queue.statuses([song.job_id for song in songs]) if songs else []
        found = zip(songs, statuses, strict=True)
        return [self._describe(song, status or self._stored(song), fields) for song, status in found]

    def _describe(self, song: "Song", status: JobStatus | None, fields: Sequence[str]) -> dict[str, Any]:
        return {
            "id": song.id,
            "title": song.title,
            "hash": song.song_hash,
            "uploader_id": song.uploader_id,
            "status": self._state(song, status).value,
            **{name: _FURTHER[name](song, status) for name in fields},
        }

    def _state(self, song: "Song", status: JobStatus | None) -> SongState:
        if status is None:
            is_stored = self.song_store.has_song(song.song_hash)
            return SongState.UPLOADED if is_stored else SongState.UPLOADING
        if status.state is JobState.DONE:
            return SongState.SPLIT
        is_splitting = status.state is JobState.RUNNING and status.progress > 0
        return SongState.SPLITTING if is_splitting else SongState.UPLOADED

    def _stored(self, song: "Song") -> JobStatus | None:
        """Return the status of a job whose record has expired, None unless its result is stored."""
        manifest = self.song_store.manifest(song.job_id)
        if manifest is None:
            return None
        return JobStatus(
            job_id=song.job_id,
            state=JobState.DONE,
            progress=1.0,
            model=manifest.model,
            stems=tuple(manifest.stems),
        )


def _error_of(status: JobStatus | None) -> dict[str, str] | None:
    if status is None or status.state not in (JobState.FAILED, JobState.CANCELLED):
        return None
    return dict(vars(status.error)) if status.error else dict(_CANCELLED)
