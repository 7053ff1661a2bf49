"""The work on one song of a broker: check it, separate it, upload the archive of its stems."""

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from msaas.errors import SongDamaged
from msaas.logs import get_logger
from msaas.queue.songs import SongMessage
from msaas.recipe import Recipe
from msaas.result_facts import ResultFacts
from msaas.songs import parse_song_hash, song_hash
from msaas.stem_tar import ANALYSIS, PEAKS, ExtraFiles
from msaas_worker.attempt import Attempt, Step
from msaas_worker.scratch import Scratch
from msaas_worker.separation import separate_song
from msaas_worker.separators import Separators
from msaas_worker.sources.backend import Backend

log = get_logger()


@dataclass(frozen=True, kw_only=True)
class FileSink:
    """Implements `Sink`: keeps the result as files in `folder` until the upload.

    Peaks and the analysis are kept if `extras` names them.
    """

    folder: Path
    extras: Collection[str] = ()
    stems: dict[str, Path] = field(default_factory=dict)
    peaks: dict[str, Path] = field(default_factory=dict)

    @property
    def takes_analysis(self) -> bool:
        return ANALYSIS in self.extras

    def put_stem(self, stem: str, file: Path, *, peaks: bytes) -> None:
        self.stems[stem] = file.rename(self.folder / f"{stem}.result")
        if PEAKS in self.extras:
            self.peaks[stem] = self.folder / f"{stem}.peaks"
            self.peaks[stem].write_bytes(peaks)

    def put_analysis(self, analysis: bytes) -> None:
        self._analysis.write_bytes(analysis)

    def extra_files(self) -> ExtraFiles:
        """Return what follows the stems. A song whose analysis failed has none."""
        analysis = self._analysis if self._analysis.exists() else None
        return ExtraFiles(peaks=self.peaks, analysis=analysis)

    @property
    def _analysis(self) -> Path:
        return self.folder / "analysis"


@dataclass(frozen=True, kw_only=True)
class SongHandler:
    separators: Separators
    scratch: Scratch
    model: str
    max_duration_s: int
    backend: Backend

    def handle(self, message: SongMessage, attempt: Attempt) -> None:
        """Separate the song and upload its stems.

        Raises:
            LeaseLost: the song is not this worker's any more. Nothing is uploaded from then on.
            SongDeleted: the result is not wanted any more.
            InvalidId, SongDamaged, UndecodableSong, SongTooLong, ResultRefused: each attempt would end so.
            BackendUnavailable: the backend was away for too long.
            MsaasError: the model or the separation failed.
        """
        name = parse_song_hash(message.message_id)
        if (found := song_hash(message.body)) != name:
            raise SongDamaged(f"The bytes of the song have the hash {found}, and its message has another id.")
        with attempt.pause_watchdog():
            separator = self.separators.get(self.model)
        attempt.report_progress()
        attempt.set_model(model=separator.model, requested=self.model, device=separator.device)
        with self.scratch.folder() as folder:
            started = time.monotonic()
            song, sink = folder / "song", FileSink(folder=folder, extras=message.extras)
            song.write_bytes(message.body)
            log.info("song_fetched", size_bytes=len(message.body))
            attempt.reach(Step.SONG_FETCHED)
            separated = separate_song(
                song, Recipe(), separator, sink, attempt, max_duration_s=self.max_duration_s
            )
            separated.observe(model=separator.model, seconds=time.monotonic() - started)
            facts = ResultFacts(
                model=separator.model, weights_sha256=separator.weights_sha256, engine=separator.engine
            )
            self.backend.upload(name, sink.stems, attempt, facts=facts, extras=sink.extra_files())
        log.info("result_uploaded", backend=self.backend.url)
        attempt.reach(Step.RESULT_UPLOADED)
