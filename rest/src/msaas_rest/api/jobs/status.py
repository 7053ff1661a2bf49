"""Status of a job: from the queue while it is kept there, from the manifest afterwards."""

from msaas.errors import JobNotFound
from msaas.jobs import JobState, JobStatus
from msaas.queue.protocol import JobQueue
from msaas.songs import parse_id
from msaas.storage.song_store import SongStore


def find_status(job_id: str, *, queue: JobQueue, song_store: SongStore) -> JobStatus:
    """Return the status that the queue keeps, else `done` for a stored result.

    Raises:
        InvalidId, JobNotFound: neither knows the job.
    """
    status = queue.status(parse_id(job_id))
    if status:
        return status
    manifest = song_store.manifest(job_id)
    if manifest is None:
        raise JobNotFound(f"Job {job_id} is unknown. Send the song again.")
    return JobStatus(
        job_id=job_id,
        state=JobState.DONE,
        progress=1.0,
        model=manifest.model,
        requested_model=manifest.options.get("model"),
        stems=tuple(manifest.stems),
    )
