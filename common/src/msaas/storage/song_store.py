"""The song store: songs, stems, fragments and manifests as objects in two buckets."""

import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, BinaryIO

from msaas.containers import MP3, SONG_EXTENSIONS
from msaas.errors import (
    AnalysisNotFound,
    DamagedStem,
    ObjectChanged,
    ObjectNotFound,
    SongDamaged,
    SongMissing,
    TrackNotFound,
)
from msaas.logs import get_logger
from msaas.manifest import Manifest, StemFile
from msaas.models import STEMS
from msaas.recipe import Recipe
from msaas.songs import is_sha256, source_of
from msaas.storage.fragment_store import FragmentStore, peaks_not_found
from msaas.storage.manifests import Manifests
from msaas.storage.names import (
    DEFAULT_EXTENSION,
    FRAGMENT_SUFFIX,
    MANIFEST_SUFFIX,
    analysis_file,
    job_of,
    manifest_file,
    peaks_file,
    song_file,
    song_of,
    stem_file,
)
from msaas.storage.protocol import (
    ObjectStore,
    OpenObject,
    StoredObject,
    is_young,
    open_object,
    put_bytes,
)
from msaas.storage.verified import Verified

log = get_logger()


@dataclass(frozen=True, kw_only=True)
class StoredStem:
    """A stem whose bytes are verified, unless it was opened without that."""

    songs: "SongStore"
    job_id: str
    stem: str
    entry: StemFile
    etag: str
    #: The title of the song, an empty text if it has none.
    title: str = ""
    #: CRC-32 of the bytes, None if they are not verified.
    crc32: int | None = None

    def read(self, *, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield `length` of the verified bytes from `offset`, all by default.

        Raises:
            TrackNotFound: the stem was removed. Raised before the first chunk.
            ObjectChanged: the stem was stored again. Raised before the first chunk.
        """
        songs = self.songs
        try:
            yield from songs.store.get(
                songs.output_bucket, self.entry.file, offset=offset, length=length, etag=self.etag
            )
        except ObjectChanged:
            raise
        except ObjectNotFound:
            raise TrackNotFound(
                f"Stem {self.stem} of job {self.job_id} was removed. Send the song again."
            ) from None


@dataclass(frozen=True, kw_only=True)
class StoredSong:
    """A song whose bytes are those of its hash, unless it was opened without that."""

    songs: "SongStore"
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


@dataclass(frozen=True)
class SongStore:
    """The two buckets. Every method raises `StoreUnavailable`."""

    store: ObjectStore
    input_bucket: str = "input-tracks"
    output_bucket: str = "output-tracks"
    _verified: Verified[int] = field(default_factory=Verified, repr=False)

    def ping(self) -> None:
        self.store.ping(self.input_bucket)

    def prepare(self) -> None:
        """Create the buckets. Existing ones are fine."""
        self.store.make_bucket(self.input_bucket)
        self.store.make_bucket(self.output_bucket)

    # Songs

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
            self.store.delete(bucket, key)
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

    def songs(self) -> Iterator[StoredObject]:
        return self._list(self.input_bucket)

    @property
    def fragments(self) -> FragmentStore:
        return FragmentStore(self.store, self.output_bucket)

    @property
    def _manifests(self) -> Manifests:
        return Manifests(self.store, self.output_bucket)

    # Results

    def put_peaks(self, job_id: str, stem: str, entry: StemFile, peaks: bytes) -> None:
        """Store the peaks of the stem with this entry. Earlier releases know no peaks in a manifest."""
        put_bytes(self.store, self.output_bucket, peaks_file(job_id, stem, sha256=entry.sha256), peaks)

    def open_peaks(self, job_id: str, stem: str) -> tuple[OpenObject, str]:
        """Return the peaks of a finished stem, with the SHA-256 of the stem.

        Raises:
            PeaksNotFound: the job has no such stem, or an earlier release made it.
        """
        manifest = self.manifest(job_id)
        entry = manifest.stems.get(stem) if manifest else None
        if entry is None:
            raise peaks_not_found(job_id, stem)
        try:
            name = peaks_file(job_id, stem, sha256=entry.sha256)
            return open_object(self.store, self.output_bucket, name), entry.sha256
        except ObjectNotFound:
            raise peaks_not_found(job_id, stem) from None

    def put_analysis(self, job_id: str, analysis: bytes) -> StemFile:
        """Store the analysis of a song and return its entry of the manifest."""
        sha256 = hashlib.sha256(analysis).hexdigest()
        name = analysis_file(job_id, sha256=sha256)
        put_bytes(self.store, self.output_bucket, name, analysis)
        return StemFile(name, len(analysis), sha256)

    def open_analysis(self, job_id: str) -> tuple[OpenObject, str]:
        """Return the analysis of a finished job, with its SHA-256.

        Raises:
            AnalysisNotFound: the job has none.
        """
        manifest = self.manifest(job_id)
        entry = manifest.analysis if manifest else None
        if entry is None:
            raise _analysis_not_found(job_id)
        try:
            return open_object(self.store, self.output_bucket, entry.file), entry.sha256
        except ObjectNotFound:
            raise _analysis_not_found(job_id) from None

    def put_stem(
        self, job_id: str, stem: str, file: IO[bytes], *, extension: str = DEFAULT_EXTENSION
    ) -> StemFile:
        """Store a stem and return its entry of the manifest."""
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        # The digest of a BytesIO leaves its position alone.
        size_bytes = file.seek(0, os.SEEK_END)
        file.seek(0)
        name = stem_file(job_id, stem, extension=extension)
        self.store.put(self.output_bucket, name, file, size_bytes=size_bytes)  # type: ignore[arg-type]
        return StemFile(name, size_bytes, sha256)

    def put_manifest(self, manifest: Manifest, *, if_match: str = "") -> None:
        """Store the manifest; `if_match` as in `ObjectStore.put`."""
        self._manifests.put(manifest, if_match=if_match)

    def has_manifest(self, job_id: str) -> bool:
        """Return whether the job is done. Its stems are not looked at."""
        return self._exists(self.output_bucket, manifest_file(job_id))

    def has_song(self, song_hash: str) -> bool:
        """Return whether the song is in the store. Its bytes are not looked at."""
        return any(song_of(each.key) == song_hash for each in self._list(self.input_bucket, prefix=song_hash))

    def _exists(self, bucket: str, key: str) -> bool:
        try:
            self.store.stat(bucket, key)
        except ObjectNotFound:
            return False
        return True

    def manifest(self, job_id: str) -> Manifest | None:
        """Return the manifest, or None while the job is not done."""
        return self._manifests.get(job_id)

    def whole_manifest(self, job_id: str) -> Manifest | None:
        """Return the manifest if every stem it names is stored in its size."""
        manifest = self.manifest(job_id)
        return manifest if manifest and not self._missing(manifest) else None

    def find(self, job_id: str, recipe: Recipe, *, models: Iterable[str]) -> Manifest | None:
        """Return the finished result of `recipe` by one of `models`, None if it is to be made.

        `models` is the requested model, and those that may run in its place.
        """
        manifest = self.whole_manifest(job_id)
        if manifest and any(manifest.answers(recipe, model=model) for model in models):
            return manifest
        return None

    def reuse(self, job_id: str, recipe: Recipe, *, models: Iterable[str]) -> Manifest | None:
        """Return `find(…)`, and let retention count the age of the result from now.

        Raises:
            TooBusy: other writers change the manifest all the time.
        """
        models = tuple(models)
        return self._manifests.renew(job_id, find=lambda: self.find(job_id, recipe, models=models))

    def stored_stems(self, job_id: str) -> tuple[Manifest | None, tuple[str, ...]]:
        """Return the manifest, and its stems that are stored in their size, in the order of the models."""
        manifest = self.manifest(job_id)
        if manifest is None:
            return None, ()
        stems = set(manifest.stems) - set(self._missing(manifest))
        return manifest, tuple(sorted(stems, key=_place))

    def _has(self, file: StemFile) -> bool:
        try:
            return self.store.stat(self.output_bucket, file.file).size_bytes == file.size_bytes
        except ObjectNotFound:
            return False

    def open_stem(
        self, job_id: str, stem: str, *, extension: str | None = None, verify: bool = True
    ) -> StoredStem:
        """Return the stem once its bytes are checked against the manifest. It has any extension by default.

        Without `verify` only its size is compared, and no byte of it is read.

        A stem that is damaged or gone leaves the manifest, so that the next request makes it again: a worker
        that lost its lease may have written last.

        Raises:
            TrackNotFound: the job has no such stem, or it was damaged.
            ObjectChanged: the stem was stored again meanwhile. Call again.
        """
        manifest = self._manifest_with(job_id, stem, extension)
        entry = manifest.stems[stem]
        try:
            etag, crc32 = self._verify(entry) if verify else (self._check_size(entry).etag, None)
            return StoredStem(
                songs=self,
                job_id=job_id,
                stem=stem,
                entry=entry,
                etag=etag,
                title=manifest.title,
                crc32=crc32,
            )
        except ObjectChanged:
            raise
        except (DamagedStem, ObjectNotFound) as error:
            log.warning("stem_damaged", job_id=job_id, stem=stem, reason=str(error))
            self._forget_stem(job_id, stem, entry)
            raise TrackNotFound(f"Stem {stem} of job {job_id} was damaged. Send the song again.") from None

    def _manifest_with(self, job_id: str, stem: str, extension: str | None) -> Manifest:
        """Return the manifest, which has this stem."""
        manifest = self.manifest(job_id)
        if manifest is None or stem not in manifest.stems:
            raise TrackNotFound(
                f"Stem {stem} of job {job_id} is not stored. Wait for the job, or send the song again."
            )
        entry = manifest.stems[stem]
        if extension not in (None, entry.extension):
            raise TrackNotFound(
                f"Stem {stem} of job {job_id} is stored as {entry.extension}. "
                "Ask for that extension, or for none."
            )
        return manifest

    def _verify(self, entry: StemFile) -> tuple[str, int]:
        """Return the ETag and the CRC-32 of the stem once its bytes are those of the manifest."""
        found = self._check_size(entry)
        key = (entry.file, found.etag, entry.sha256)
        return found.etag, self._verified.verify_once(key, lambda: self._check_bytes(entry, found))

    def _check_size(self, entry: StemFile) -> StoredObject:
        found = self.store.stat(self.output_bucket, entry.file)
        if found.size_bytes != entry.size_bytes:
            raise DamagedStem(f"Object {entry.file} does not have the size of its manifest.")
        return found

    def _check_bytes(self, entry: StemFile, found: StoredObject) -> int:
        sha256, crc32 = hashlib.sha256(), 0
        for chunk in self.store.get(self.output_bucket, entry.file, etag=found.etag):
            sha256.update(chunk)
            crc32 = zlib.crc32(chunk, crc32)
        if sha256.hexdigest() != entry.sha256:
            raise DamagedStem(f"Object {entry.file} does not have the SHA-256 of its manifest.")
        return crc32

    def _forget_stem(self, job_id: str, stem: str, entry: StemFile) -> None:
        """Take the stem out of the manifest, unless another result has replaced it by now."""

        def forget(manifest: Manifest) -> Manifest:
            return manifest.without(stem) if manifest.stems.get(stem) == entry else manifest

        self._manifests.edit(job_id, forget)

    def remove_stem(self, job_id: str, stem: str, *, extension: str | None = None) -> None:
        """Remove the stem from the store and the manifest, so that the next request makes it again.

        Two removals at once both hold: each deletes its object first, and drops every stem without one.

        Raises:
            TrackNotFound: the job has no such stem.
        """
        entry = self._manifest_with(job_id, stem, extension).stems[stem]
        self._delete_stem(job_id, stem, entry)
        self._manifests.edit(job_id, self._without_missing)

    def discard_stems(
        self, job_id: str, entries: Mapping[str, StemFile], *, analysis: StemFile | None = None
    ) -> None:
        """Delete stems, peaks and analysis of an unfinished result.

        An earlier manifest that names the stems drops them.
        """
        for stem, entry in entries.items():
            self._delete_stem(job_id, stem, entry)
        if analysis:
            self.store.delete(self.output_bucket, analysis.file)
        self._manifests.edit(job_id, self._without_missing)

    def _delete_stem(self, job_id: str, stem: str, entry: StemFile) -> None:
        for name in (entry.file, peaks_file(job_id, stem, sha256=entry.sha256)):
            self.store.delete(self.output_bucket, name)

    def _without_missing(self, manifest: Manifest) -> Manifest:
        for stem in self._missing(manifest):
            manifest = manifest.without(stem)
        return manifest

    def _missing(self, manifest: Manifest) -> list[str]:
        return [stem for stem, file in manifest.stems.items() if not self._has(file)]

    def results(self) -> Iterator[StoredObject]:
        """List the output bucket without fragments."""
        return (found for found in self.outputs() if not found.key.endswith(FRAGMENT_SUFFIX))

    def outputs(self) -> Iterator[StoredObject]:
        """List the output bucket."""
        return self._list(self.output_bucket)

    def _list(self, bucket: str, *, prefix: str = "") -> Iterator[StoredObject]:
        """List a bucket. One that is missing, as in a new store, is empty."""
        with suppress(ObjectNotFound):
            yield from self.store.list(bucket, prefix=prefix)

    def delete_contents(self) -> None:
        """Empty both buckets, manifests first: without its manifest a result does not count."""
        for song in self.songs():
            self.store.delete(self.input_bucket, song.key)
        for result in sorted(self.outputs(), key=lambda found: not found.key.endswith(MANIFEST_SUFFIX)):
            self.store.delete(self.output_bucket, result.key)


def song_missing(song_hash: str) -> SongMissing:
    return SongMissing(f"The store has no song {song_hash}. Send its bytes.")


def _analysis_not_found(job_id: str) -> AnalysisNotFound:
    return AnalysisNotFound(
        f"Job {job_id} has no analysis: it has not ended, its analysis failed, or an earlier release made it."
    )


def _sha256_of(chunks: Iterable[bytes]) -> str:
    sha256 = hashlib.sha256()
    for chunk in chunks:
        sha256.update(chunk)
    return sha256.hexdigest()


def _place(stem: str) -> tuple[int, str]:
    """Return the sort key of a stem. One of a newer version comes last."""
    return (STEMS.index(stem) if stem in STEMS else len(STEMS), stem)
