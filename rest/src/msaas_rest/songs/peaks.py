"""Peaks of all stems of a song as numbers: of its fragments while the job runs, of the stems afterwards."""

from array import array
from contextlib import suppress

from msaas.errors import FragmentNotFound, PeaksNotFound
from msaas.queue.protocol import JobQueue
from msaas.storage.protocol import OpenObject
from msaas.storage.song_store import SongStore
from msaas_rest.api.jobs.fragments import find_fragments


def read_all_peaks(
    job_id: str, *, queue: JobQueue, song_store: SongStore
) -> tuple[dict[str, list[int]], bool]:
    """Return low, high, low, high … of each stem, and whether they cover the whole stems.

    A stem without peaks is left out.
    """
    found: dict[str, list[int]] = {}
    try:
        fragments = find_fragments(job_id, queue=queue)
    except FragmentNotFound:
        _, stems = song_store.stored_stems(job_id)
        for stem in stems:
            with suppress(PeaksNotFound):
                found[stem] = _numbers(song_store.open_peaks(job_id, stem)[0])
        return found, True
    for stem in fragments.stems:
        with suppress(PeaksNotFound):
            found[stem] = _numbers(song_store.fragments.open_peaks(fragments, stem))
    return found, False


def _numbers(peaks: OpenObject) -> list[int]:
    return array("b", b"".join(peaks.chunks)).tolist()
