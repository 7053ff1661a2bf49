"""The work of one job: fetch the song, separate it, store the stems and the manifest."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from msaas.jobs import Job
from msaas.logs import get_logger
from msaas.manifest import Manifest, StemFile
from msaas.metrics import REAL_TIME_FACTOR, SEPARATION
from msaas.queue.protocol import Result
from msaas.recipe import Recipe
from msaas.storage.song_store import SongStore
from msaas_worker.attempt import Attempt, Step
from msaas_worker.scratch import Scratch
from msaas_worker.separation import SeparatedSong, separate_song
from msaas_worker.separators import Separator, Separators

log = get_logger()


@dataclass
class StoreSink:
    """Implements `Sink`: puts the stems of a job into the song store and remembers their entries."""

    song_store: SongStore
    job_id: str
    entries: dict[str, StemFile] = field(default_factory=dict)

    def put_stem(self, stem: str, file: Path) -> None:
        with open(file, "rb") as content:
            entry = self.song_store.put_stem(self.job_id, stem, content)
        log.info("stem_stored", stem=stem, size_bytes=entry.size_bytes)
        self.entries[stem] = entry


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
            LeaseLost: another worker has the job; nothing more was stored.
            UnknownOption: a newer worker is needed.
            MsaasError: the song, the model or the store failed.
        """
        recipe = job.recipe()
        model = recipe.model or self.default_model
        if manifest := self._find(job, recipe, model):
            return Result(manifest.model, "", tuple(manifest.stems))
        with attempt.pause_watchdog():
            separator = self.separators.get(model)
        attempt.report_progress()
        attempt.set_model(model=separator.model, requested=model, device=separator.device)
        # A model may run in place of the one that was asked for.
        if separator.model != model and (manifest := self._find(job, recipe, separator.model)):
            return Result(manifest.model, "", tuple(manifest.stems))
        with self.scratch.folder() as folder:
            stems = self._separate(job, recipe, separator, attempt, folder)
        return Result(separator.model, separator.device, stems)

    def _find(self, job: Job, recipe: Recipe, model: str) -> Manifest | None:
        manifest = self.song_store.find(job.job_id, recipe, model=model)
        if manifest:
            log.info("song_already_separated", model=model)
        return manifest

    def _separate(
        self, job: Job, recipe: Recipe, separator: Separator, attempt: Attempt, folder: Path
    ) -> tuple[str, ...]:
        started = time.monotonic()
        song = self._fetch(job, attempt, folder)
        sink = StoreSink(self.song_store, job.job_id)
        separated = separate_song(song, recipe, separator, sink, attempt, max_duration_s=self.max_duration_s)
        attempt.verify()
        self.song_store.put_manifest(_manifest(job, recipe, separator, separated, sink))
        _count(separator.model, separated, time.monotonic() - started)
        log.info("manifest_stored")
        attempt.reach(Step.MANIFEST_STORED)
        return separated.stems

    def _fetch(self, job: Job, attempt: Attempt, folder: Path) -> Path:
        song = folder / "song.mp3"
        with open(song, "wb") as file:
            for chunk in self.song_store.song(job.job_id):
                file.write(chunk)
                attempt.report_progress()
        log.info("song_fetched", size_bytes=song.stat().st_size)
        attempt.reach(Step.SONG_FETCHED)
        return song


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
    )


def _count(model: str, separated: SeparatedSong, seconds: float) -> None:
    SEPARATION.labels(model).observe(seconds)
    REAL_TIME_FACTOR.labels(model).observe(separated.duration_s / seconds)
