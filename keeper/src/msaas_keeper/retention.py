"""Retention: deletes songs and results past their age, manifests first, except those that are needed.

The age counts from the last request for the song. Needed are the songs and results of open jobs, and those
that a client asked for a moment ago: a request and a deletion of one song exclude each other.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from msaas.errors import ObjectNotFound
from msaas.jobs import JobState
from msaas.logs import get_logger
from msaas.queue.protocol import JobQueue
from msaas.queue.song_registry import DELETION_S, SongRegistry
from msaas.songs import source_of
from msaas.storage.names import is_output, job_of, manifest_file, song_of
from msaas.storage.protocol import StoredObject
from msaas.storage.song_store import SongStore

_MAX_PAUSE_S = 3600.0
_LOCK = "retention"
#: A sweep extends its lock at each batch. After a sweep that failed, the lock expires this soon.
_LOCK_S = 60.0

log = get_logger()


@dataclass(frozen=True)
class _Candidate:
    """An old song or result.

    `delete` takes its last instant, a time of `time.monotonic`, and returns the number of deleted objects.
    """

    song: str
    delete: Callable[[float], int]


def _do_nothing() -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Retention:
    """`spared` return the hashes of songs to keep, such as those of open jobs. They are asked once a batch.

    A song is lost only if its job is pushed by hand between the question and the deletion.
    """

    queue: JobQueue
    registry: SongRegistry
    song_store: SongStore
    age_s: float
    spared: Sequence[Callable[[], set[str]]]
    #: Songs and results in a batch.
    batch: int = 20

    @property
    def every_s(self) -> float:
        return min(self.age_s / 10, _MAX_PAUSE_S)

    def sweep(self, *, on_batch: Callable[[], object] = _do_nothing) -> int:
        """Delete old objects. Return the number of deleted objects. Raises `Unavailable`."""
        before = time.time() - self.age_s
        candidates = [*self._old_results(before), *self._old_songs(before)]
        deleted = 0
        for start in range(0, len(candidates), self.batch):
            on_batch()
            # After the listings: a song that is announced later has a young object.
            spared = set().union(*(ask() for ask in self.spared))
            batch = candidates[start : start + self.batch]
            deleted += sum(self._delete(each) for each in batch if each.song not in spared)
        return deleted

    def _delete(self, candidate: _Candidate) -> int:
        """Delete it unless a client asked for its song a moment ago.

        After an outage, or when the time is over, the announcement stays until it expires: the last deletion
        may still be on its way to the store.
        """
        if not self.registry.begin_deletion(candidate.song):
            return 0
        until = time.monotonic() + DELETION_S / 2
        deleted = candidate.delete(until)
        if time.monotonic() < until:
            self.registry.end_deletion(candidate.song)
        return deleted

    def _old_results(self, before: float) -> Iterator[_Candidate]:
        found = defaultdict(list)
        for result in self._ours():
            if result.modified_at < before:
                found[job_of(result.key)].append(result.key)
        for job_id, keys in found.items():
            yield _Candidate(source_of(job_id), partial(self._delete_result, job_id, keys, before))

    def _old_songs(self, before: float) -> Iterator[_Candidate]:
        bucket = self.song_store.input_bucket
        for song in self.song_store.songs():
            if song.modified_at < before:
                yield _Candidate(song_of(song.key), partial(self._delete_if_old, bucket, song.key, before))

    def _ours(self) -> Iterator[StoredObject]:
        return (found for found in self.song_store.outputs() if is_output(found.key))

    def _delete_result(self, job_id: str, keys: list[str], before: float, until: float) -> int:
        """A young manifest keeps its stems, however old. A young stem stays: its manifest will follow."""
        bucket, manifest = self.song_store.output_bucket, manifest_file(job_id)
        is_done = self._exists(bucket, manifest)
        if is_done and not self._delete_if_old(bucket, manifest, before, until):
            return 0
        self.queue.forget(job_id, state=JobState.DONE)
        stems = [key for key in keys if key != manifest]
        return is_done + sum(self._delete_if_old(bucket, key, before, until) for key in stems)

    def _delete_if_old(self, bucket: str, key: str, before: float, until: float) -> bool:
        """Look at the object again: it may have been written since the listing."""
        try:
            is_old = self.song_store.store.stat(bucket, key).modified_at < before
        except ObjectNotFound:
            return False
        if not is_old or time.monotonic() > until:
            return False
        self.song_store.store.delete(bucket, key)
        return True

    def _exists(self, bucket: str, key: str) -> bool:
        try:
            self.song_store.store.stat(bucket, key)
        except ObjectNotFound:
            return False
        return True


def sweep_if_due(retention: Retention, queue: JobQueue) -> None:
    """Sweep unless another keeper did so within the interval. Raises `Unavailable`."""
    lock_s = min(retention.every_s, _LOCK_S)
    if not queue.acquire_lock(_LOCK, every_s=lock_s):
        return
    deleted = retention.sweep(on_batch=lambda: queue.extend_lock(_LOCK, for_s=lock_s))
    queue.extend_lock(_LOCK, for_s=retention.every_s)
    log.info("old_objects_deleted", objects=deleted)
