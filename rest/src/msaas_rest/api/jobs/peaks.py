"""Peaks of a stem: of its fragments while the job runs, of the whole stem afterwards."""

from msaas.errors import FragmentNotFound
from msaas.models import parse_part
from msaas.queue.protocol import JobQueue
from msaas.songs import parse_id
from msaas.storage.protocol import OpenObject
from msaas.storage.song_store import SongStore
from msaas_rest.api.jobs.fragments import find_fragments


def open_peaks(job_id: str, part: str, *, queue: JobQueue, song_store: SongStore) -> tuple[OpenObject, str]:
    """Return the peaks, and their SHA-256 if they are whole, else an empty text.

    Raises:
        InvalidId, UnknownStem, PeaksNotFound: there are none.
    """
    stem = parse_part(part)
    try:
        fragments = find_fragments(parse_id(job_id), queue=queue)
    except FragmentNotFound:
        return song_store.open_peaks(job_id, stem)
    return song_store.fragments.open_peaks(fragments, stem), ""
