"""Status of a job: from the queue until it is done, from the stored result afterwards."""

from dataclasses import replace

from msaas.errors import JobNotFound
from msaas.jobs import JobState, JobStatus
from msaas.manifest import Manifest
from msaas.queue.protocol import JobQueue
from msaas.songs import parse_id
from msaas.storage.song_store import SongStore


def find_status(job_id: str, *, queue: JobQueue, song_store: SongStore) -> JobStatus:
    """Return the status that the queue keeps, and `done` exactly while a stem is stored.

    Raises:
        InvalidId, JobNotFound: the job is unknown, or all its stems were deleted.
        Unavailable: the queue does not answer, or the store does not.
    """
    return find_result(job_id, queue=queue, song_store=song_store)[0]


def find_result(job_id: str, *, queue: JobQueue, song_store: SongStore) -> tuple[JobStatus, Manifest | None]:
    """Return the status as `find_status` does, with the manifest of a job that is done."""
    status = queue.status(parse_id(job_id))
    if status and status.state is not JobState.DONE:
        return status, None
    manifest, stems = song_store.stored_stems(job_id)
    if manifest is None or not stems:
        raise _not_found(job_id, was_done=bool(status or manifest))
    status = status or JobStatus(
        job_id=job_id,
        state=JobState.DONE,
        progress=1.0,
        requested_model=manifest.options.get("model"),
    )
    return replace(status, model=manifest.model, stems=stems), manifest


def _not_found(job_id: str, *, was_done: bool) -> JobNotFound:
    if was_done:
        return JobNotFound(f"All stems of job {job_id} were deleted. Send the song again.")
    return JobNotFound(f"Job {job_id} is unknown. Send the song again.")
