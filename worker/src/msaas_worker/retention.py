"""What is older than it may be is deleted, a manifest before its stems; what somebody waits for stays."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from msaas import log_info
from msaas.errors import ObjectNotFound, Unavailable
from msaas.queue import JobQueue
from msaas.songs import source_of
from msaas.storage import StoredObject
from msaas.tracks import PIECE, Tracks, job_of

_LONGEST_PAUSE_S = 3600.0


@dataclass(frozen=True)
class Retention:
    tracks: Tracks
    age_s: float
    #: Whose songs stay, by hash: those of jobs that wait or run. A catalogue of songs adds its own.
    spared: Sequence[Callable[[], set[str]]]

    @property
    def every_s(self) -> float:
        return min(self.age_s / 10, _LONGEST_PAUSE_S)

    def sweep(self) -> int:
        """Delete what is too old; return how many files that was. Raises `Unavailable`."""
        before = time.time() - self.age_s
        results = self._old_results(before)
        songs = [song.key for song in self.tracks.songs() if song.modified_at < before]
        deleted = sum(
            self._delete_result(job_id, keys, before)
            for job_id, keys in results.items()
            if not self._is_spared(source_of(job_id))
        )
        return deleted + sum(
            self._delete_if_old(self.tracks.input_bucket, key, before)
            for key in songs
            if not self._is_spared(key.removesuffix(".mp3"))
        )

    def _is_spared(self, songhash: str) -> bool:
        """Ask for each anew: a sweep takes its time, and songs are announced meanwhile."""
        return any(songhash in ask() for ask in self.spared)

    def _old_results(self, before: float) -> dict[str, list[str]]:
        found = defaultdict(list)
        for result in self._ours():
            if result.modified_at < before:
                found[job_of(result.key)].append(result.key)
        return found

    def _ours(self) -> Iterator[StoredObject]:
        return (found for found in self.tracks.outputs() if found.key.endswith((".mp3", ".json", PIECE)))

    def _delete_result(self, job_id: str, keys: list[str], before: float) -> int:
        """A young manifest keeps its stems, however old; a young stem stays, its manifest follows."""
        bucket, manifest = self.tracks.output_bucket, f"{job_id}.json"
        stands = self._has(bucket, manifest)
        if stands and not self._delete_if_old(bucket, manifest, before):
            return 0
        return stands + sum(self._delete_if_old(bucket, key, before) for key in keys if key != manifest)

    def _delete_if_old(self, bucket: str, key: str, before: float) -> bool:
        """Look once more: it may have been written since the listing."""
        try:
            is_old = self.tracks.store.stat(bucket, key).modified_at < before
        except ObjectNotFound:
            return False
        if is_old:
            self.tracks.store.delete(bucket, key)
        return is_old

    def _has(self, bucket: str, key: str) -> bool:
        try:
            self.tracks.store.stat(bucket, key)
        except ObjectNotFound:
            return False
        return True


def start_retention(retention: Retention, queue: JobQueue, *, stopping: threading.Event) -> None:
    args = (retention, queue, stopping)
    threading.Thread(target=_sweep, args=args, name="retention", daemon=True).start()


def _sweep(retention: Retention, queue: JobQueue, stopping: threading.Event) -> None:
    while not stopping.wait(retention.every_s):
        try:
            if queue.take_turn("retention", every_s=retention.every_s):
                log_info("old_files_deleted", files=retention.sweep())
        except Unavailable as error:
            log_info("retention_waits", reason=str(error))
