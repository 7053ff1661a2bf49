"""Retention: deletes songs and results past their age, manifests first, except those of open jobs."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from msaas.errors import ObjectNotFound
from msaas.logs import get_logger
from msaas.queue.protocol import JobQueue
from msaas.songs import source_of
from msaas.storage.protocol import StoredObject
from msaas.storage.song_store import SongStore, is_output, job_of, manifest_file, song_of

_MAX_PAUSE_S = 3600.0

log = get_logger()


@dataclass(frozen=True, kw_only=True)
class Retention:
    """`spared` return the hashes of songs to keep, such as those of open jobs."""

    song_store: SongStore
    age_s: float
    spared: Sequence[Callable[[], set[str]]]

    @property
    def every_s(self) -> float:
        return min(self.age_s / 10, _MAX_PAUSE_S)

    def sweep(self) -> int:
        """Delete old objects. Return the number of deleted objects. Raises `Unavailable`."""
        before = time.time() - self.age_s
        results = self._old_results(before)
        songs = [song.key for song in self.song_store.songs() if song.modified_at < before]
        # After the listings: a song that is announced later has a young object, which is looked at once more.
        spared = set().union(*(ask() for ask in self.spared)) if results or songs else set()
        deleted = sum(
            self._delete_result(job_id, keys, before)
            for job_id, keys in results.items()
            if source_of(job_id) not in spared
        )
        return deleted + sum(
            self._delete_if_old(self.song_store.input_bucket, key, before)
            for key in songs
            if song_of(key) not in spared
        )

    def _old_results(self, before: float) -> dict[str, list[str]]:
        found = defaultdict(list)
        for result in self._ours():
            if result.modified_at < before:
                found[job_of(result.key)].append(result.key)
        return found

    def _ours(self) -> Iterator[StoredObject]:
        return (found for found in self.song_store.outputs() if is_output(found.key))

    def _delete_result(self, job_id: str, keys: list[str], before: float) -> int:
        """A young manifest keeps its stems, however old. A young stem stays: its manifest will follow."""
        bucket, manifest = self.song_store.output_bucket, manifest_file(job_id)
        is_done = self._exists(bucket, manifest)
        if is_done and not self._delete_if_old(bucket, manifest, before):
            return 0
        return is_done + sum(self._delete_if_old(bucket, key, before) for key in keys if key != manifest)

    def _delete_if_old(self, bucket: str, key: str, before: float) -> bool:
        """Look at the object again: it may have been written since the listing."""
        try:
            is_old = self.song_store.store.stat(bucket, key).modified_at < before
        except ObjectNotFound:
            return False
        if is_old:
            self.song_store.store.delete(bucket, key)
        return is_old

    def _exists(self, bucket: str, key: str) -> bool:
        try:
            self.song_store.store.stat(bucket, key)
        except ObjectNotFound:
            return False
        return True


def sweep_if_due(retention: Retention, queue: JobQueue) -> None:
    """Sweep unless another keeper did so within the interval. Raises `Unavailable`."""
    if queue.acquire_lock("retention", every_s=retention.every_s):
        log.info("old_objects_deleted", objects=retention.sweep())
