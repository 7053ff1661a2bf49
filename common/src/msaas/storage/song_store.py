"""The song store: songs, stems, fragments and manifests as objects in two buckets."""

import hashlib
import io
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import IO, BinaryIO

from msaas.errors import (
    DamagedStem,
    FragmentNotFound,
    ObjectChanged,
    ObjectNotFound,
    SongMissing,
    TrackNotFound,
)
from msaas.formats import FORMATS
from msaas.fragments import Fragments
from msaas.logs import get_logger
from msaas.manifest import Manifest, StemFile
from msaas.recipe import Recipe
from msaas.songs import source_of
from msaas.storage.protocol import ObjectStore, StoredObject

#: A song that is sent again is stored again unless the object is younger: retention counts from the last
#: request.
_YOUNG_S = 3600.0
#: Ends the names of fragments.
FRAGMENT_SUFFIX = ".piece"
MANIFEST_SUFFIX = ".json"
_SONG_SUFFIX = ".mp3"
#: Verified stems a process remembers. Each is a name, an ETag and a hash.
_VERIFIED = 10_000


log = get_logger()


def song_file(song_hash: str) -> str:
    return f"{song_hash}{_SONG_SUFFIX}"


def song_of(name: str) -> str:
    """Return the hash of the song with this object name."""
    return name.removesuffix(_SONG_SUFFIX)


def stem_file(job_id: str, stem: str, *, extension: str = "mp3") -> str:
    return f"{job_id}-{stem}.{extension}"


def manifest_file(job_id: str) -> str:
    return f"{job_id}{MANIFEST_SUFFIX}"


def fragment_file(fragments: Fragments, stem: str, *, number: int) -> str:
    return f"{fragments.job_id}-{stem}.{fragments.tag}.{number}{FRAGMENT_SUFFIX}"


def is_output(name: str) -> bool:
    """Return whether this service writes objects with such a name into the output bucket."""
    return name.endswith(
        (MANIFEST_SUFFIX, FRAGMENT_SUFFIX, *(f".{row.extension}" for row in FORMATS.values()))
    )


def job_of(name: str) -> str:
    """Return the job of a stem, a fragment or a manifest."""
    return name.removesuffix(MANIFEST_SUFFIX) if name.endswith(MANIFEST_SUFFIX) else name.rpartition("-")[0]


class RecentSet:
    """A set that forgets its oldest members beyond `size`."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._members: OrderedDict[Hashable, None] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, member: Hashable) -> bool:
        return member in self._members

    def add(self, member: Hashable) -> None:
        with self._lock:
            self._members[member] = None
            while len(self._members) > self._size:
                self._members.popitem(last=False)


@dataclass(frozen=True)
class StoredStem:
    """A verified stem. `read` yields the bytes that were verified, or raises `ObjectChanged`."""

    songs: "SongStore"
    entry: StemFile
    etag: str

    def read(self, *, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield `length` bytes from `offset`, all by default. Raises before the first chunk."""
        songs = self.songs
        return songs.store.get(
            songs.output_bucket, self.entry.file, offset=offset, length=length, etag=self.etag
        )


@dataclass(frozen=True)
class SongStore:
    """The two buckets. Every method raises `StoreUnavailable`."""

    store: ObjectStore
    input_bucket: str = "input-tracks"
    output_bucket: str = "output-tracks"
    _verified: "RecentSet" = field(default_factory=lambda: RecentSet(_VERIFIED), repr=False)

    def ping(self) -> None:
        self.store.ping(self.input_bucket)

    def prepare(self) -> None:
        """Create the buckets. Existing ones are fine."""
        self.store.make_bucket(self.input_bucket)
        self.store.make_bucket(self.output_bucket)

    # Songs

    def put_song(self, song_hash: str, song: BinaryIO, *, size_bytes: int) -> None:
        """Store the song unless it is there: its name is its content."""
        name = song_file(song_hash)
        try:
            found = self.store.stat(self.input_bucket, name)
            if found.size_bytes == size_bytes and time.time() - found.modified_at < _YOUNG_S:
                return
        except ObjectNotFound:
            pass
        self.store.put(self.input_bucket, name, song, size_bytes=size_bytes)

    def song(self, job_id: str) -> Iterator[bytes]:
        """Yield the song of a job in chunks. Raises `SongMissing` before the first chunk."""
        song_hash = source_of(job_id)
        chunks = self.store.get(self.input_bucket, song_file(song_hash))
        try:
            first = next(chunks, b"")
        except ObjectNotFound:
            raise SongMissing(f"The store has no song {song_hash}. Send it again.") from None
        yield first
        yield from chunks

    def songs(self) -> Iterator[StoredObject]:
        return self.store.list(self.input_bucket)

    # Fragments of running jobs

    def put_fragment(self, fragments: Fragments, stem: str, *, number: int, mp3: bytes) -> None:
        name = fragment_file(fragments, stem, number=number)
        self.store.put(self.output_bucket, name, io.BytesIO(mp3), size_bytes=len(mp3))

    def fragment(self, fragments: Fragments, stem: str, *, number: int) -> bytes:
        """Raises `FragmentNotFound`."""
        name = fragment_file(fragments, stem, number=number)
        try:
            return b"".join(self.store.get(self.output_bucket, name))
        except ObjectNotFound:
            raise FragmentNotFound(
                f"Fragment {number} of {stem} of job {fragments.job_id} is gone."
            ) from None

    def delete_fragment(self, fragments: Fragments, *, number: int) -> None:
        for stem in fragments.stems:
            self.store.delete(self.output_bucket, fragment_file(fragments, stem, number=number))

    # Results

    def put_stem(self, job_id: str, stem: str, file: IO[bytes], *, extension: str = "mp3") -> StemFile:
        """Store a stem and return its entry of the manifest."""
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        # The digest of a BytesIO leaves its position alone.
        size_bytes = file.seek(0, os.SEEK_END)
        file.seek(0)
        name = stem_file(job_id, stem, extension=extension)
        self.store.put(self.output_bucket, name, file, size_bytes=size_bytes)  # type: ignore[arg-type]
        return StemFile(name, size_bytes, sha256)

    def put_manifest(self, manifest: Manifest) -> None:
        text = manifest.encode()
        name = manifest_file(manifest.job_id)
        self.store.put(self.output_bucket, name, io.BytesIO(text), size_bytes=len(text))

    def manifest(self, job_id: str) -> Manifest | None:
        """Return the manifest, or None while the job is not done."""
        try:
            return Manifest.decode(b"".join(self.store.get(self.output_bucket, manifest_file(job_id))))
        except (ObjectNotFound, ValueError):
            return None

    def whole_manifest(self, job_id: str) -> Manifest | None:
        """Return the manifest if every stem it names is stored in its size."""
        manifest = self.manifest(job_id)
        return manifest if manifest and not self._missing(manifest) else None

    def find(self, job_id: str, recipe: Recipe, *, model: str) -> Manifest | None:
        """Return the finished result of `recipe` by `model`, None if it is to be made."""
        manifest = self.whole_manifest(job_id)
        return manifest if manifest and manifest.answers(recipe, model=model) else None

    def _has(self, file: StemFile) -> bool:
        try:
            return self.store.stat(self.output_bucket, file.file).size_bytes == file.size_bytes
        except ObjectNotFound:
            return False

    def open_stem(self, job_id: str, stem: str) -> StoredStem:
        """Return the stem once its bytes are checked against the manifest.

        A stem that is damaged or gone leaves the manifest, so that the next request makes it again: a worker
        that lost its lease may have written last.

        Raises:
            TrackNotFound: the job has no such stem, or it was damaged.
            ObjectChanged: the stem was stored again meanwhile. Call again.
        """
        entry = self._entry(job_id, stem)
        try:
            return self._verify(entry)
        except ObjectChanged:
            raise
        except (DamagedStem, ObjectNotFound) as error:
            log.warning("stem_damaged", job_id=job_id, stem=stem, reason=str(error))
            self._forget_stem(job_id, stem, entry)
            raise TrackNotFound(f"Stem {stem} of job {job_id} was damaged. Send the song again.") from None

    def _entry(self, job_id: str, stem: str) -> StemFile:
        manifest = self.manifest(job_id)
        if manifest is None or stem not in manifest.stems:
            raise TrackNotFound(f"Job {job_id} has no stored stem {stem}.")
        return manifest.stems[stem]

    def _verify(self, entry: StemFile) -> StoredStem:
        found = self.store.stat(self.output_bucket, entry.file)
        key = (entry.file, found.etag, entry.sha256)
        if key not in self._verified:
            self._check(entry, found)
            self._verified.add(key)
        return StoredStem(self, entry, found.etag)

    def _check(self, entry: StemFile, found: StoredObject) -> None:
        sha256 = hashlib.sha256()
        if found.size_bytes == entry.size_bytes:
            for chunk in self.store.get(self.output_bucket, entry.file, etag=found.etag):
                sha256.update(chunk)
        if sha256.hexdigest() != entry.sha256:
            raise DamagedStem(f"Object {entry.file} does not have the SHA-256 of its manifest.")

    def _forget_stem(self, job_id: str, stem: str, entry: StemFile) -> None:
        """Take the stem out of the manifest, unless another result has replaced it by now."""
        manifest = self.manifest(job_id)
        if manifest and manifest.stems.get(stem) == entry:
            self.put_manifest(manifest.without(stem))

    def remove_stem(self, job_id: str, stem: str) -> None:
        """Remove the stem from the store and the manifest, so that the next request makes it again.

        Two removals at once both hold: each deletes its object first, drops every stem without one, and looks
        again after its write.

        Raises:
            TrackNotFound: the job has no such stem.
        """
        self.store.delete(self.output_bucket, self._entry(job_id, stem).file)
        while (manifest := self.manifest(job_id)) and (missing := self._missing(manifest)):
            for name in missing:
                manifest = manifest.without(name)
            self.put_manifest(manifest)

    def _missing(self, manifest: Manifest) -> list[str]:
        return [stem for stem, file in manifest.stems.items() if not self._has(file)]

    def results(self) -> Iterator[StoredObject]:
        """List the output bucket without fragments."""
        return (found for found in self.outputs() if not found.key.endswith(FRAGMENT_SUFFIX))

    def outputs(self) -> Iterator[StoredObject]:
        """List the output bucket."""
        return self.store.list(self.output_bucket)

    def delete_contents(self) -> None:
        """Empty both buckets, manifests first: without its manifest a result does not count."""
        for song in self.songs():
            self.store.delete(self.input_bucket, song.key)
        for result in sorted(self.outputs(), key=lambda found: not found.key.endswith(MANIFEST_SUFFIX)):
            self.store.delete(self.output_bucket, result.key)
