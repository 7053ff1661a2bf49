"""A job's state is in the queue while it is remembered there, and in the manifest for good."""

from msaas.errors import JobNotFound
from msaas.jobs import JobState, JobStatus
from msaas.queue import JobQueue
from msaas.songs import parse_id
from msaas.tracks import Tracks


def status_of(job_id: str, *, queue: JobQueue, tracks: Tracks) -> JobStatus:
    """Raises `InvalidId` or `JobNotFound`."""
    status = queue.status(parse_id(job_id))
    if status:
        return status
    manifest = tracks.manifest(job_id)
    if manifest is None:
        raise JobNotFound(job_id)
    return JobStatus(job_id, JobState.DONE, progress=1.0, model=manifest.model, stems=tuple(manifest.stems))
