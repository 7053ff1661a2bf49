"""Garbage collection of fragments: those of ended attempts are deleted from the store."""

from msaas.logs import get_logger
from msaas.queue.protocol import JobQueue
from msaas.storage.song_store import SongStore

log = get_logger()


def collect_fragments(queue: JobQueue, song_store: SongStore) -> None:
    """Raises `Unavailable`. The next call finds the remaining fragments again."""
    for fragments in queue.stale_fragments():
        # The worker may have ended between storing a fragment and publishing it.
        song_store.fragments.delete_all(fragments)
        queue.forget_fragments(fragments)
        log.debug("fragments_collected", job_id=fragments.job_id, count=fragments.count)
