"""Results of external workers: the files of an archive are stored by the rule of the manifest."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, BinaryIO

from pydantic import ValidationError

from msaas.errors import MalformedStemTar, SongDeleted, SongNotFound, TooBusy, Unavailable
from msaas.jobs import JobState
from msaas.logs import bind_log, get_logger
from msaas.manifest import Manifest
from msaas.queue.protocol import JobQueue
from msaas.queue.song_registry import SongRegistry
from msaas.recipe import Recipe
from msaas.removal import Removal
from msaas.result_facts import ResultFacts
from msaas.separations import Separation
from msaas.stem_tar import TAR_STEMS, ReceivedStem, TarLimits, read_stem_tar
from msaas.storage.song_store import SongStore
from msaas_rest.openapi.messages.analysis import Analysis

if TYPE_CHECKING:
    from msaas_catalogue import Catalogue

#: A service that stores a result and dies blocks the next upload of this result for so long.
_LOCK_S = 120.0

log = get_logger()


@dataclass(frozen=True, kw_only=True)
class ResultReceiver:
    """`catalogue` opens the database. Every method raises `Unavailable`."""

    catalogue: Callable[[], "Catalogue"]
    registry: SongRegistry
    queue: JobQueue
    song_store: SongStore
    removal: Callable[[], Removal]
    limits: TarLimits

    def check_wanted(self, song_hash: str) -> None:
        """Return if an upload refers to the song, or the machine API knows it.

        Raises:
            SongDeleted: the users deleted it.
            SongNotFound: no client sent it.
        """
        if self._is_referenced(song_hash):
            return
        if self.registry.private_songs([song_hash]):
            raise SongDeleted(f"Song {song_hash} was deleted.")
        if not self.song_store.has_song(song_hash):
            raise SongNotFound(f"Song {song_hash} is unknown.")

    def _is_referenced(self, song_hash: str) -> bool:
        """Return whether an upload has this hash.

        An upload adds its row, and then looks whether the song is published already. So the note goes before
        the last look at the rows: of an upload that comes now, one of the two sees the other.
        """
        songs = self.catalogue().songs
        if songs.is_referenced(song_hash):
            return True
        self.registry.forget_publication(song_hash)
        return songs.is_referenced(song_hash)

    def receive(self, song_hash: str, archive: BinaryIO, facts: ResultFacts) -> None:
        """Store the result of a song. The first result stands: a further one is checked, and not stored.

        Raises:
            SongDeleted, SongNotFound: as `check_wanted` does, also for a song that is deleted meanwhile.
                Nothing of it stays.
            MalformedStemTar, StemTooLarge: for the archive and its files.
            TooBusy: another result of the song is being stored.
        """
        bind_log(job_id=song_hash)
        self.check_wanted(song_hash)
        with TemporaryDirectory() as folder:
            result = read_stem_tar(archive, Path(folder), limits=self.limits)
            analysis = parse_analysis(result.analysis.read_bytes()) if result.analysis else b""
            self._store_once(song_hash, result.stems, analysis, facts)

    def _store_once(
        self, song_hash: str, stems: Mapping[str, ReceivedStem], analysis: bytes, facts: ResultFacts
    ) -> None:
        lock = f"result:{song_hash}"
        if not self.queue.acquire_lock(lock, every_s=_LOCK_S):
            raise TooBusy(f"Another result of song {song_hash} is being stored. Try again in 5 s.")
        try:
            if is_split(song_hash, song_store=self.song_store):
                log.info("result_already_stored")
            else:
                self._store(song_hash, stems, analysis, facts)
                log.info("result_stored", model=facts.model)
        finally:
            with suppress(Unavailable):
                self.queue.extend_lock(lock, for_s=0.0)
        self._check_still_wanted(song_hash)

    def _store(
        self, song_hash: str, stems: Mapping[str, ReceivedStem], analysis: bytes, facts: ResultFacts
    ) -> None:
        self.song_store.prepare()
        entries = {}
        for stem, received in stems.items():
            with open(received.path, "rb") as file:
                entries[stem] = self.song_store.put_stem(song_hash, stem, file)
            if received.peaks:
                self.song_store.put_peaks(song_hash, stem, entries[stem], received.peaks.read_bytes())
        if analysis:
            self.song_store.put_analysis(song_hash, analysis)
        manifest = Manifest(
            job_id=song_hash,
            model=facts.model,
            weights_sha256=facts.weights_sha256,
            engine=facts.engine,
            samples=max(stem.samples for stem in stems.values()),
            samplerate=next(iter(stems.values())).samplerate,
            stems=entries,
        )
        # Before the manifest: a result that is there is not recorded again.
        self.catalogue().history.add([_separation(manifest)])
        self.song_store.put_manifest(manifest)
        self.registry.forget_publication(song_hash)
        # A job of the other queue may have failed. The result is there, and the status follows it.
        for state in (JobState.FAILED, JobState.CANCELLED):
            self.queue.forget(song_hash, state=state)

    def _check_still_wanted(self, song_hash: str) -> None:
        """The removal of a song may have ended before its stems were stored. It is repeated then."""
        try:
            self.check_wanted(song_hash)
        except SongNotFound:
            self.removal().remove(song_hash, job_ids=[song_hash])
            raise


def parse_analysis(data: bytes) -> bytes:
    """Return the analysis in the JSON that workers write, with neither white space nor repeated fields.

    Raises:
        MalformedStemTar: it does not have exactly the fields of an analysis, or a number is not finite.
    """
    try:
        found = Analysis.model_validate_json(data, strict=True).model_dump()
        encoded = json.dumps(found, separators=(",", ":"), allow_nan=False).encode()
        is_exact = json.loads(data) == found
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(["analysis.json", *map(str, first["loc"])])
        raise MalformedStemTar(f"The analysis is invalid. {place}: {first['msg']}.") from None
    except ValueError:
        raise MalformedStemTar("The analysis has a number that is out of range.") from None
    if not is_exact:
        raise MalformedStemTar("The analysis has unknown fields.")
    return encoded


def _separation(manifest: Manifest) -> Separation:
    """Return the record of a result for the history. The same stems have the same one."""
    digests = "".join(manifest.stems[stem].sha256 for stem in TAR_STEMS)
    return Separation(
        event_id=f"result-{hashlib.sha256((manifest.job_id + digests).encode()).hexdigest()}",
        job_id=manifest.job_id,
        state=JobState.DONE,
        finished_at=time.time(),
        model=manifest.model,
        weights_sha256=manifest.weights_sha256,
        audio_s=manifest.samples / manifest.samplerate,
    )


def is_split(song_hash: str, *, song_store: SongStore) -> bool:
    """Return whether the store has all stems of the default recipe, by any model: workers choose it."""
    manifest = song_store.whole_manifest(song_hash)
    return (
        manifest is not None
        and manifest.options == Recipe().options()
        and set(TAR_STEMS) <= set(manifest.stems)
    )
