"""The song store: songs, stems, fragments and manifests as objects in two buckets."""

from collections.abc import Iterator
from dataclasses import dataclass

from msaas.songs import source_of
from msaas.storage.names import MANIFEST_SUFFIX, job_of, song_of
from msaas.storage.results import Results
from msaas.storage.source_songs import SourceSongs


@dataclass(frozen=True)
class SongStore(SourceSongs, Results):
    """A song with all of its results. Every method raises `StoreUnavailable`."""

    def knows(self, song_hash: str) -> bool:
        """Return whether the store has the song, or a result of it."""
        found = self._objects_of(song_hash)
        return next(found, None) is not None

    def remove_song(self, song_hash: str) -> int:
        """Delete the results of a song, manifests first, and then the song. Return the number of objects."""
        objects = list(self._objects_of(song_hash))
        # Without its manifest a result does not count.
        objects.sort(key=lambda each: (each[0] == self.input_bucket, not each[1].endswith(MANIFEST_SUFFIX)))
        for bucket, key in objects:
            self._delete(bucket, key)
        return len(objects)

    def jobs_of(self, song_hash: str) -> set[str]:
        """Return the jobs of which the store has an object."""
        keys = [key for bucket, key in self._objects_of(song_hash) if bucket == self.output_bucket]
        return {job_of(key) for key in keys}

    def _objects_of(self, song_hash: str) -> Iterator[tuple[str, str]]:
        """Yield bucket and key of the song and of its results."""
        for each in self._list(self.input_bucket, prefix=f"{song_hash}."):
            if song_of(each.key) == song_hash:
                yield self.input_bucket, each.key
        for each in self._list(self.output_bucket, prefix=song_hash):
            if source_of(job_of(each.key)) == song_hash:
                yield self.output_bucket, each.key

    def delete_contents(self) -> None:
        """Empty both buckets, manifests first: without its manifest a result does not count."""
        for song in self.songs():
            self.store.delete(self.input_bucket, song.key)
        for result in sorted(self.outputs(), key=lambda found: not found.key.endswith(MANIFEST_SUFFIX)):
            self._delete(self.output_bucket, result.key)

    def _delete(self, bucket: str, key: str) -> None:
        self.store.delete(bucket, key)
        if key.endswith(MANIFEST_SUFFIX):
            self.on_change(job_of(key))
