"""Removal of private songs that nothing refers to any more: the song, its results, its jobs.

The service that removes the last reference does it at once, and the keeper repeats it later. An outage may
have interrupted it, and a worker that lost its job may have stored an object after it.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from msaas.errors import JobEnded, JobNotFound, NotYourRequest
from msaas.jobs import JobState
from msaas.logs import get_logger
from msaas.queue.protocol import Cancellation, JobQueue
from msaas.queue.song_registry import SongRegistry
from msaas.storage.song_store import SongStore

#: Interval of the question whether another deletion of the song has ended.
_LOOK_S = 0.05
#: A worker has stored its last object this long after its job was cancelled.
_SETTLED_S = 60.0
_EVERY_REQUEST = Cancellation(owner="", any_owner=True, all_requests=True, with_accounts=True)

log = get_logger()


@dataclass(frozen=True, kw_only=True)
class Removal:
    """`is_referenced` returns whether an upload refers to a hash. It raises `Unavailable` if it cannot."""

    queue: JobQueue
    registry: SongRegistry
    song_store: SongStore
    is_referenced: Callable[[str], bool]
    #: Longest wait for another deletion of the song, such as that of a worker that cleans up.
    wait_s: float = 2.0

    def remove(self, song_hash: str, *, job_ids: Iterable[str] = ()) -> bool:
        """Remove the song unless the machine API knows it or it has a reference. Return whether it did.

        An upload of the song adds its reference before it requests the song. So the references are counted
        while requests for the song wait.

        Raises `Unavailable`.
        """
        if not self._begin(song_hash):
            return False
        try:
            if self.is_referenced(song_hash):
                self.registry.forget_removal(song_hash)
                return False
            self._remove(song_hash, job_ids)
        finally:
            self.registry.end_deletion(song_hash)
        return True

    def _begin(self, song_hash: str) -> bool:
        until = time.monotonic() + self.wait_s
        while not self.registry.begin_removal(song_hash):
            if time.monotonic() > until or not self.registry.private_songs([song_hash]):
                return False
            time.sleep(_LOOK_S)
        return True

    def _remove(self, song_hash: str, job_ids: Iterable[str]) -> None:
        jobs = self.song_store.jobs_of(song_hash) | set(job_ids)
        for job_id in jobs:
            with suppress(JobNotFound, JobEnded, NotYourRequest):
                self.queue.cancel(job_id, _EVERY_REQUEST)
        objects = self.song_store.remove_song(song_hash)
        for job_id in jobs:
            # The record of a cancelled job tells its worker to clean up.
            for state in (JobState.DONE, JobState.FAILED):
                self.queue.forget(job_id, state=state)
        log.info("song_removed", song_hash=song_hash, objects=objects)

    def repeat(self) -> None:
        """Repeat the removals that began a while ago. Raises `Unavailable`."""
        for song_hash in self.registry.removals(older_than_s=_SETTLED_S):
            if self.remove(song_hash):
                self.registry.forget_removal(song_hash)
