"""Songs as clients see them: five fields, and further ones on demand."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from msaas.errors import InvalidFields
from msaas.jobs import JobState, JobStatus, rfc3339
from msaas.outcomes import Outcome, Outcomes
from msaas.queue.protocol import JobQueue

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
    """Describes songs by the queue, and by their outcomes once it has forgotten their jobs.

    Every method raises `Unavailable`.
    """

    queue: JobQueue
    outcomes: Outcomes

    def describe(self, song: "Song", fields: Sequence[str] = ()) -> dict[str, Any]:
        """Describe one song. Its outcome is that of the store: a note that is wrong is corrected."""
        status = self.queue.status(song.job_id)
        return _describe(song, status, None if status else self.outcomes.check(song.job_id), fields)

    def describe_all(self, songs: Sequence["Song"], fields: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Describe many songs. The store is read for those that no list has shown since they ended."""
        statuses = self.queue.statuses([song.job_id for song in songs]) if songs else []
        described = list(zip(songs, statuses, strict=True))
        outcomes = self.outcomes.find({song.job_id for song, status in described if status is None})
        return [_describe(song, status, outcomes.get(song.job_id), fields) for song, status in described]


def _describe(
    song: "Song", status: JobStatus | None, outcome: Outcome | None, fields: Sequence[str]
) -> dict[str, Any]:
    if status is None and outcome is not None:
        status = _status_of(outcome)
    return {
        "id": song.id,
        "title": song.title,
        "hash": song.song_hash,
        "uploader_id": song.uploader_id,
        "status": (_state_of(status) if status or outcome else SongState.UPLOADING).value,
        **{name: _FURTHER[name](song, status) for name in fields},
    }


def _status_of(outcome: Outcome) -> JobStatus | None:
    """Return the status of a job whose record has expired, None without a result."""
    if not outcome.is_split:
        return None
    return JobStatus(
        job_id=outcome.job_id,
        state=JobState.DONE,
        progress=1.0,
        model=outcome.model,
        stems=outcome.stems,
    )


def _state_of(status: JobStatus | None) -> SongState:
    if status is None:
        return SongState.UPLOADED
    if status.state is JobState.DONE:
        return SongState.SPLIT
    is_splitting = status.state is JobState.RUNNING and status.progress > 0
    return SongState.SPLITTING if is_splitting else SongState.UPLOADED


def _error_of(status: JobStatus | None) -> dict[str, str] | None:
    if status is None or status.state not in (JobState.FAILED, JobState.CANCELLED):
        return None
    return dict(vars(status.error)) if status.error else dict(_CANCELLED)
