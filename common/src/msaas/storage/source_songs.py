"""Songs as objects of the input bucket."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from msaas.containers import MP3, SONG_EXTENSIONS
from msaas.errors import ObjectChanged, ObjectNotFound, SongDamaged, SongMissing
from msaas.songs import is_sha256, source_of
from msaas.storage.buckets import Buckets
from msaas.storage.names import song_file, song_of
from msaas.storage.protocol import StoredObject, is_young


@dataclass(frozen=True, kw_only=True)
class StoredSong:
    """A song whose bytes are those of its hash, unless it was opened without that."""

    songs: Buckets
    song_hash: str
    found: StoredObject

    @property
    def extension(self) -> str:
        return self.found.key.rpartition(".")[2]

    def read(self, *, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield `length` of the verified bytes from `offset`, all by default.

        Raises:
            SongMissing: the song was deleted. Raised before the first chunk.
            ObjectChanged: the song was stored again. Raised before the first chunk.
        """
        songs, found = self.songs, self.found
        try:
            yield from songs.store.get(
                songs.input_bucket, found.key, offset=offset, length=length, etag=found.etag
            )
        except ObjectChanged:
            raise
        except ObjectNotFound:
            raise song_missing(self.song_hash) from None


class SourceSongs(Buckets):
    """The songs that clients sent."""

    def put_song(
        self, song_hash: str, song: BinaryIO, *, size_bytes: int, extension: str = MP3.extension
    ) -> None:
        """Store the song unless the same bytes are there. An object that was altered or cut is replaced."""
        name = song_file(song_hash, extension=extension)
        if not self._has_song(name, song_hash, size_bytes=size_bytes):
            self.store.put(self.input_bucket, name, song, size_bytes=size_bytes)

    def _has_song(self, name: str, song_hash: str, *, size_bytes: int) -> bool:
        """Return whether the song is stored, intact and young."""
        try:
            found = self.store.stat(self.input_bucket, name)
            if found.size_bytes != size_bytes or not is_young(found):
                return False
            return _sha256_of(self.store.get(self.input_bucket, name, etag=found.etag)) == song_hash
        except ObjectNotFound:
            return False

    def song(self, job_id: str) -> Iterator[bytes]:
        """Yield the song of a job in chunks, and compare them with its hash. An older id is not a hash.

        Raises:
            SongMissing: the store has no such song. Raised before the first chunk.
            SongDamaged: the chunks are not the song. Raised after the last chunk.
        """
        song_hash = source_of(job_id)
        sha256, size_bytes = hashlib.sha256(), 0
        try:
            for chunk in self.store.get(self.input_bucket, self._find_song(song_hash).key):
                sha256.update(chunk)
                size_bytes += len(chunk)
                yield chunk
        except ObjectNotFound:
            raise song_missing(song_hash) from None
        if is_sha256(song_hash) and sha256.hexdigest() != song_hash:
            raise SongDamaged(
                f"The stored song {song_hash} was altered or cut: it has {size_bytes} bytes with the SHA-256 "
                f"{sha256.hexdigest()}. Send it again."
            )

    def find_song(self, song_hash: str) -> StoredObject:
        """Return the object of the song. Its name ends in the extension of its kind. No bytes are read.

        Raises:
            SongMissing: the store has no such song.
        """
        try:
            return self._find_song(song_hash)
        except ObjectNotFound:
            raise song_missing(song_hash) from None

    def _find_song(self, song_hash: str) -> StoredObject:
        """Raises `ObjectNotFound`."""
        found = {each.key: each for each in self.store.list(self.input_bucket, prefix=f"{song_hash}.")}
        for extension in SONG_EXTENSIONS:
            if song := found.get(song_file(song_hash, extension=extension)):
                return song
        raise ObjectNotFound(f"Song {song_hash} is not in the store.")

    def open_song(self, song_hash: str, *, verify: bool = True) -> StoredSong:
        """Return the song once its bytes are compared with its hash. Without `verify` no byte of it is read.

        Raises:
            SongMissing: the store has no such song.
            SongDamaged: its bytes are others.
            ObjectChanged: the song was stored again meanwhile. Call again.
        """
        found = self.find_song(song_hash)
        if verify:
            key = (found.key, found.etag, song_hash)
            self._verified.verify_once(key, lambda: self._check_song(song_hash, found))
        return StoredSong(songs=self, song_hash=song_hash, found=found)

    def _check_song(self, song_hash: str, found: StoredObject) -> int:
        if _sha256_of(self.store.get(self.input_bucket, found.key, etag=found.etag)) != song_hash:
            raise SongDamaged(f"The stored song {song_hash} was altered or cut. Send it again.")
        return 0

    def has_song(self, song_hash: str) -> bool:
        """Return whether the song is in the store. Its bytes are not looked at."""
        return any(song_of(each.key) == song_hash for each in self._list(self.input_bucket, prefix=song_hash))

    def songs(self) -> Iterator[StoredObject]:
        return self._list(self.input_bucket)


def song_missing(song_hash: str) -> SongMissing:
    return SongMissing(f"The store has no song {song_hash}. Send its bytes.")


def _sha256_of(chunks: Iterable[bytes]) -> str:
    sha256 = hashlib.sha256()
    for chunk in chunks:
        sha256.update(chunk)
    return sha256.hexdigest()
