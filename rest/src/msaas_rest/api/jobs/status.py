"""Status of a job: from the queue until it is done, from the stored result afterwards."""

from dataclasses import replace

from msaas.errors import JobNotFound
from msaas.jobs import JobState, JobStatus
from msaas.queue.protocol import JobQueue
from msaas.songs import parse_id
from msaas.storage.song_store import SongStore


def find_status(job_id: str, *, queue: JobQueue, song_store: SongStore) -> JobStatus:
    """Return the status that the queue keeps, and `done` exactly while a stem is stored.

    Raises:
        InvalidId, JobNotFound: the job is unknown, or all its stems were deleted.
        Unavailable: the queue does not answer, or the store does not.
    """
    status = queue.status(parse_id(job_id))
    if status and status.state is not JobState.DONE:
        return status
    manifest, stems = song_store.stored_stems(job_id)
    if manifest is None or not stems:
        raise _not_found(job_id, was_done=bool(status or manifest))
    status = status or JobStatus(
        job_id=job_id,
        state=JobState.DONE,
        progress=1.0,
        requested_model=manifest.options.get("model"),
    )
    return replace(status, model=manifest.model, stems=stems)


def _not_found(job_id: str, *, was_done: bool) -> JobNotFound:
    if was_done:
        return JobNotFound(f"All stems of job {job_id} were deleted. Send the song again.")
    return JobNotFound(f"Job {job_id} is unknown. Send the song again.")
