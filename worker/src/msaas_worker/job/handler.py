"""The work of one job: fetch the song, separate it, store the stems and the manifest."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from msaas.errors import LeaseLost, SongDamaged, StoreUnavailable
from msaas.formats import FORMATS
from msaas.jobs import Job
from msaas.logs import get_logger
from msaas.manifest import Manifest, StemFile
from msaas.queue.consumer import Result
from msaas.recipe import Recipe
from msaas.storage.song_store import SongStore
from msaas_worker.attempt import Attempt, Step
from msaas_worker.audio.encoders.opening import check_format
from msaas_worker.job.outputs import WatchedFile, put_output
from msaas_worker.scratch import Scratch
from msaas_worker.separation import SeparatedSong, separate_song
from msaas_worker.separators import Separator, Separators

log = get_logger()


@dataclass(kw_only=True)
class StoreSink:
    """Implements `Sink`: puts the stems of a job into the song store and remembers their entries."""

    song_store: SongStore
    job_id: str
    extension: str
    entries: dict[str, StemFile] = field(default_factory=dict)
    takes_analysis = True

    def put_stem(self, stem: str, file: Path, *, peaks: bytes) -> None:
        entry = put_output(self.song_store, lambda: self._put(stem, file))
        log.info("stem_stored", stem=stem, size_bytes=entry.size_bytes)
        self.entries[stem] = entry
        self.song_store.put_peaks(self.job_id, stem, entry, peaks)

    def put_analysis(self, analysis: bytes) -> None:
        try:
            put_output(self.song_store, lambda: self.song_store.put_analysis(self.job_id, analysis))
        except StoreUnavailable as error:
            log.warning("analysis_not_stored", reason=error.detail)
        else:
            log.info("analysis_stored", size_bytes=len(analysis))

    def discard(self) -> None:
        """Delete what was put. Raises `StoreUnavailable`."""
        self.song_store.discard_stems(self.job_id, self.entries)
        log.info("stems_discarded", stems=len(self.entries))

    def _put(self, stem: str, file: Path) -> StemFile:
        with WatchedFile(file) as content:
            return self.song_store.put_stem(self.job_id, stem, content, extension=self.extension)


@dataclass(frozen=True, kw_only=True)
class JobHandler:
    song_store: SongStore
    separators: Separators
    scratch: Scratch
    default_model: str
    max_duration_s: int

    def handle(self, job: Job, attempt: Attempt) -> Result:
        """Do the job and return its result.

        Raises:
            LeaseLost: another worker has the job, or it was cancelled and what it had stored is deleted.
            UnknownOption, FormatUnavailable: another worker is needed.
            MsaasError: the song, the model or the store failed.
        """
        recipe = job.recipe(default_model=self.default_model)
        sink = StoreSink(
            song_store=self.song_store,
            job_id=job.job_id,
            extension=FORMATS[recipe.format].extension,
        )
        try:
            return self._do(job, recipe, sink, attempt)
        except LeaseLost:
            attempt.clean_up(sink.discard)
            raise

    def _do(self, job: Job, recipe: Recipe, sink: StoreSink, attempt: Attempt) -> Result:
        model = recipe.model or self.default_model
        if manifest := self._find(job, recipe, model):
            return _result_in_store(manifest, requested=model)
        check_format(recipe.format)
        with attempt.pause_watchdog():
            separator = self.separators.get(model)
        attempt.report_progress()
        # A model may run in place of the one that was asked for.
        if separator.model != model and (manifest := self._find(job, recipe, separator.model)):
            return _result_in_store(manifest, requested=model)
        # From here on the status has the facts of this attempt.
        attempt.set_model(model=separator.model, requested=model, device=separator.device)
        with self.scratch.folder() as folder:
            stems = self._separate(job, recipe, separator, sink, attempt, folder)
        return Result(
            model=separator.model,
            device=separator.device,
            stems=stems,
            requested_model=model,
            weights_sha256=separator.weights_sha256,
        )

    def _find(self, job: Job, recipe: Recipe, model: str) -> Manifest | None:
        manifest = self.song_store.reuse(job.job_id, recipe, models=[model])
        if manifest:
            log.info("song_already_separated", model=model)
        return manifest

    def _separate(
        self,
        job: Job,
        recipe: Recipe,
        separator: Separator,
        sink: StoreSink,
        attempt: Attempt,
        folder: Path,
    ) -> tuple[str, ...]:
        started = time.monotonic()
        song = self._fetch(job, attempt, folder)
        separated = separate_song(song, recipe, separator, sink, attempt, max_duration_s=self.max_duration_s)
        attempt.verify()
        self.song_store.put_manifest(_manifest(job, recipe, separator, separated, sink))
        # A cancellation may have come while the manifest was stored.
        attempt.verify()
        separated.observe(model=separator.model, seconds=time.monotonic() - started)
        log.info("manifest_stored")
        attempt.reach(Step.MANIFEST_STORED)
        return separated.stems

    def _fetch(self, job: Job, attempt: Attempt, folder: Path) -> Path:
        song = folder / "song"
        try:
            with open(song, "wb") as file:
                for chunk in self.song_store.song(job.job_id):
                    file.write(chunk)
                    attempt.report_progress()
        except SongDamaged as error:
            log.error("song_damaged", reason=error.detail)
            raise
        log.info("song_fetched", size_bytes=song.stat().st_size)
        attempt.reach(Step.SONG_FETCHED)
        return song


def _result_in_store(manifest: Manifest, *, requested: str) -> Result:
    return Result(
        model=manifest.model,
        device="",
        stems=tuple(manifest.stems),
        requested_model=requested,
        weights_sha256=manifest.weights_sha256,
    )


def _manifest(
    job: Job, recipe: Recipe, separator: Separator, separated: SeparatedSong, sink: StoreSink
) -> Manifest:
    return Manifest(
        job_id=job.job_id,
        model=separator.model,
        weights_sha256=separator.weights_sha256,
        engine=separator.engine,
        samples=separated.samples,
        samplerate=separated.samplerate,
        stems=sink.entries,
        options=recipe.options(),
        title=separated.title,
    )
