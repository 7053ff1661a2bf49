"""Archives of the stems of a job."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from msaas.errors import TrackNotFound
from msaas.manifest import Manifest, StemFile
from msaas.models import parse_part
from msaas.songs import parse_id
from msaas.storage.protocol import object_changed
from msaas.storage.results import StoredStem
from msaas.storage.song_store import SongStore
from msaas_rest.api.tracks.stored_zip import StoredZip
from msaas_rest.file_names import stem_name


@dataclass(frozen=True, kw_only=True)
class Archive:
    """The bytes of `zip` depend on the stems and their names only, which `etag` stands for."""

    job_id: str
    title: str
    etag: str
    zip: StoredZip


def find_archive(job_id: str, stems: str | None, *, song_store: SongStore) -> Archive:
    """Return the archive of `stems`, names with commas between them, or of all stems of the job.

    No stem is read before the archive is.

    Raises:
        InvalidId, UnknownStem: the request is invalid.
        TrackNotFound: the job has no stems, or one of `stems` is missing.
    """
    manifest, stored = song_store.stored_stems(parse_id(job_id))
    wanted = _parse_stems(stems) or stored
    missing = [stem for stem in wanted if stem not in stored]
    if manifest is None or not stored or missing:
        raise TrackNotFound(
            f"Stem {missing[0]} of job {job_id} is not stored. Wait for the job, or send the song again."
            if missing
            else f"Job {job_id} has no stored stems. Wait for the job, or send the song again."
        )
    members = [_Member(song_store, manifest, stem) for stem in wanted]
    return Archive(
        job_id=job_id, title=manifest.title, etag=_etag_of(members), zip=StoredZip(members=members)
    )


def _parse_stems(names: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(parse_part(name.strip()) for name in (names or "").split(",") if name.strip()))


class _Member:
    """Implements `Member`: a stem that is opened and verified at its first use."""

    def __init__(self, song_store: SongStore, manifest: Manifest, stem: str) -> None:
        self._song_store = song_store
        self._job_id = manifest.job_id
        self._stem = stem
        self.entry: StemFile = manifest.stems[stem]
        self.name = stem_name(stem, self.entry, title=manifest.title)
        self.size_bytes = self.entry.size_bytes

    @cached_property
    def _opened(self) -> StoredStem:
        """Raises `TrackNotFound`, or `ObjectChanged` if the stem is not the one of the manifest any more."""
        opened = self._song_store.open_stem(self._job_id, self._stem)
        if opened.entry != self.entry:
            raise object_changed(self.entry.file)
        return opened

    def crc32(self) -> int:
        return self._opened.crc32 or 0

    def read(self, *, offset: int, length: int) -> Iterator[bytes]:
        return self._opened.read(offset=offset, length=length)


def _etag_of(members: list[_Member]) -> str:
    facts = "\n".join(f"{member.name}\n{member.entry.sha256}" for member in members)
    return hashlib.sha256(facts.encode()).hexdigest()
