"""Where a song, its stems and its manifest lie in the object store."""

import hashlib
import io
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, BinaryIO

from msaas.errors import ObjectNotFound, PieceNotFound, SongMissing, TrackNotFound
from msaas.manifest import Manifest, StemFile
from msaas.pieces import Pieces
from msaas.songs import source_of
from msaas.storage import ObjectStore, StoredObject

#: A stem is checked against its manifest before it is served; longer ones wait on disk.
_SPOOL_BYTES = 16 * 1024 * 1024


#: A song that comes again is stored again, unless it is younger: so it has all its time before it is old.
_YOUNG_S = 3600.0
#: What the name of a piece ends in.
PIECE = ".piece"


def stem_file(job_id: str, stem: str) -> str:
    return f"{job_id}-{stem}.mp3"


def piece_file(pieces: Pieces, stem: str, *, number: int) -> str:
    return f"{pieces.job_id}-{stem}.{pieces.tag}.{number}{PIECE}"


def job_of(name: str) -> str:
    """Return the job whose stem, piece or manifest bears this name."""
    return name.removesuffix(".json") if name.endswith(".json") else name.rpartition("-")[0]


@dataclass(frozen=True)
class Tracks:
    """The two buckets, by meaning."""

    store: ObjectStore
    input_bucket: str = "input-tracks"
    output_bucket: str = "output-tracks"

    def ping(self) -> None:
        self.store.ping(self.input_bucket)

    def prepare(self) -> None:
        self.store.make_bucket(self.input_bucket)
        self.store.make_bucket(self.output_bucket)

    # Songs

    def put_song(self, songhash: str, mp3: BinaryIO, *, size_bytes: int) -> None:
        """Store the song unless it is there: its name is its content."""
        try:
            found = self.store.stat(self.input_bucket, f"{songhash}.mp3")
            if found.size_bytes == size_bytes and time.time() - found.modified_at < _YOUNG_S:
                return
        except ObjectNotFound:
            pass
        self.store.put(self.input_bucket, f"{songhash}.mp3", mp3, size_bytes=size_bytes)

    def song(self, job_id: str) -> Iterator[bytes]:
        """Yield the MP3 of a job. Raises `SongMissing` before the first piece."""
        pieces = self.store.get(self.input_bucket, f"{source_of(job_id)}.mp3")
        try:
            first = next(pieces, b"")
        except ObjectNotFound:
            raise SongMissing(source_of(job_id)) from None
        yield first
        yield from pieces

    def songs(self) -> Iterator[StoredObject]:
        return self.store.list(self.input_bucket)

    # Pieces of stems that are still being made

    def put_piece(self, pieces: Pieces, stem: str, *, number: int, mp3: bytes) -> None:
        name = piece_file(pieces, stem, number=number)
        self.store.put(self.output_bucket, name, io.BytesIO(mp3), size_bytes=len(mp3))

    def piece(self, pieces: Pieces, stem: str, *, number: int) -> bytes:
        """Raises `PieceNotFound`: it was never there, or is no longer."""
        name = piece_file(pieces, stem, number=number)
        try:
            return b"".join(self.store.get(self.output_bucket, name))
        except ObjectNotFound:
            raise PieceNotFound(name) from None

    def delete_piece(self, pieces: Pieces, *, number: int) -> None:
        for stem in pieces.stems:
            self.store.delete(self.output_bucket, piece_file(pieces, stem, number=number))

    # Results

    def put_stem(self, job_id: str, stem: str, mp3: IO[bytes]) -> StemFile:
        """Store a stem and return what the manifest says of it."""
        sha256 = hashlib.file_digest(mp3, "sha256").hexdigest()  # type: ignore[arg-type]
        # The digest of a BytesIO leaves its position alone.
        size_bytes = mp3.seek(0, os.SEEK_END)
        mp3.seek(0)
        name = stem_file(job_id, stem)
        self.store.put(self.output_bucket, name, mp3, size_bytes=size_bytes)  # type: ignore[arg-type]
        return StemFile(name, size_bytes, sha256)

    def put_manifest(self, manifest: Manifest) -> None:
        text = manifest.encode()
        self.store.put(
            self.output_bucket, f"{manifest.songhash}.json", io.BytesIO(text), size_bytes=len(text)
        )

    def manifest(self, job_id: str) -> Manifest | None:
        """Return the manifest, or None while the job is not done."""
        try:
            return Manifest.decode(b"".join(self.store.get(self.output_bucket, f"{job_id}.json")))
        except (ObjectNotFound, ValueError):
            return None

    def whole_manifest(self, job_id: str) -> Manifest | None:
        """Return the manifest if every stem it names lies there in the size it says."""
        manifest = self.manifest(job_id)
        if manifest and all(self._has(file) for file in manifest.stems.values()):
            return manifest
        return None

    def _has(self, file: StemFile) -> bool:
        try:
            return self.store.stat(self.output_bucket, file.file).size_bytes == file.size_bytes
        except ObjectNotFound:
            return False

    def open_stem(self, job_id: str, stem: str) -> IO[bytes]:
        """Return the stem as a file, checked against the manifest.

        Raises:
            TrackNotFound: there is none, or its bytes are not the manifest's: a worker that lost its
                lease may have written last. Such a stem leaves the manifest, so it is made again.
        """
        manifest = self.manifest(job_id)
        if manifest is None or stem not in manifest.stems:
            raise TrackNotFound(stem_file(job_id, stem))
        file = self._spooled(manifest.stems[stem])
        if file is None:
            # A worker that ended meanwhile has stored another: then what was read belongs to no result.
            if self.manifest(job_id) == manifest:
                self.put_manifest(manifest.without(stem))
            raise TrackNotFound(f"{stem_file(job_id, stem)} was damaged; send the song again.")
        return file

    def _spooled(self, entry: StemFile) -> IO[bytes] | None:
        sha256 = hashlib.sha256()
        spool = tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES)  # noqa: SIM115 - the caller's to close
        try:
            for piece in self.store.get(self.output_bucket, entry.file):
                sha256.update(piece)
                spool.write(piece)
        except ObjectNotFound:
            return None
        spool.seek(0)
        return spool if sha256.hexdigest() == entry.sha256 else None

    def remove_stem(self, job_id: str, stem: str) -> None:
        """Take the stem out of the manifest, then out of the store. Raises `TrackNotFound`."""
        manifest = self.manifest(job_id)
        if manifest is None or stem not in manifest.stems:
            raise TrackNotFound(stem_file(job_id, stem))
        self.put_manifest(manifest.without(stem))
        self.store.delete(self.output_bucket, manifest.stems[stem].file)

    def results(self) -> Iterator[StoredObject]:
        return (found for found in self.outputs() if not found.key.endswith(PIECE))

    def outputs(self) -> Iterator[StoredObject]:
        """Return the results, and the pieces of what is still being made."""
        return self.store.list(self.output_bucket)

    def delete_contents(self) -> None:
        """Empty both buckets, manifests first: a result without one is no result."""
        for song in self.songs():
            self.store.delete(self.input_bucket, song.key)
        for result in sorted(self.outputs(), key=lambda found: not found.key.endswith(".json")):
            self.store.delete(self.output_bucket, result.key)
