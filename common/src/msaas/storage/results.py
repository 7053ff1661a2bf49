"""Results as objects of the output bucket: stems, peaks, fragments, and the manifest that names the stems."""

import hashlib
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO

from msaas.errors import AnalysisNotFound, DamagedStem, ObjectChanged, ObjectNotFound, TrackNotFound
from msaas.logs import get_logger
from msaas.manifest import Manifest, StemFile
from msaas.models import STEMS
from msaas.recipe import Recipe
from msaas.storage.buckets import Buckets
from msaas.storage.fragment_store import FragmentStore, peaks_not_found
from msaas.storage.manifests import Manifests
from msaas.storage.names import (
    DEFAULT_EXTENSION,
    FRAGMENT_SUFFIX,
    analysis_file,
    manifest_file,
    peaks_file,
    stem_file,
)
from msaas.storage.protocol import OpenObject, StoredObject, open_object, put_bytes

log = get_logger()


@dataclass(frozen=True, kw_only=True)
class StoredStem:
    """A stem whose bytes are verified, unless it was opened without that."""

    songs: Buckets
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


class Results(Buckets):
    """The results of jobs."""

    @property
    def fragments(self) -> FragmentStore:
        return FragmentStore(self.store, self.output_bucket)

    @property
    def _manifests(self) -> Manifests:
        return Manifests(self.store, self.output_bucket)

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

    def put_analysis(self, job_id: str, analysis: bytes) -> None:
        """Store the analysis of a song. Earlier releases know no analysis in a manifest."""
        put_bytes(self.store, self.output_bucket, analysis_file(job_id), analysis)

    def open_analysis(self, job_id: str) -> OpenObject:
        """Return the analysis of a finished job.

        Raises:
            AnalysisNotFound: the job has none.
        """
        if not self.has_manifest(job_id):
            raise _analysis_not_found(job_id)
        try:
            return open_object(self.store, self.output_bucket, analysis_file(job_id))
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
        self.on_change(manifest.job_id)

    def has_manifest(self, job_id: str) -> bool:
        """Return whether the job is done. Its stems are not looked at."""
        return self._exists(self.output_bucket, manifest_file(job_id))

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

        self._edit_manifest(job_id, forget)

    def remove_stem(self, job_id: str, stem: str, *, extension: str | None = None) -> None:
        """Remove the stem from the store and the manifest, so that the next request makes it again.

        Two removals at once both hold: each deletes its object first, and drops every stem without one.

        Raises:
            TrackNotFound: the job has no such stem.
        """
        entry = self._manifest_with(job_id, stem, extension).stems[stem]
        self._delete_stem(job_id, stem, entry)
        self._edit_manifest(job_id, self._without_missing)

    def discard_stems(self, job_id: str, entries: Mapping[str, StemFile]) -> None:
        """Delete stems, peaks and analysis of an unfinished result.

        A manifest that names the stems drops them. Without stems it is deleted as well.
        """
        for stem, entry in entries.items():
            self._delete_stem(job_id, stem, entry)
        # Without a stem, the analysis is that of an earlier result.
        if entries:
            self.store.delete(self.output_bucket, analysis_file(job_id))
        self._manifests.edit(job_id, self._without_missing)
        manifest = self.manifest(job_id)
        if manifest is not None and not manifest.stems:
            self.store.delete(self.output_bucket, manifest_file(job_id))
        self.on_change(job_id)

    def _edit_manifest(self, job_id: str, edit: Callable[[Manifest], Manifest]) -> None:
        self._manifests.edit(job_id, edit)
        self.on_change(job_id)

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


def _analysis_not_found(job_id: str) -> AnalysisNotFound:
    return AnalysisNotFound(
        f"Job {job_id} has no analysis: it has not ended, its analysis failed, or an earlier release made it."
    )


def _place(stem: str) -> tuple[int, str]:
    """Return the sort key of a stem. One of a newer version comes last."""
    return (STEMS.index(stem) if stem in STEMS else len(STEMS), stem)
