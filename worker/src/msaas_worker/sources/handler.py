"""The work on one song of a broker: check it, separate it, upload the archive of its stems."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from msaas.errors import SongDamaged
from msaas.logs import get_logger
from msaas.queue.songs import SongMessage
from msaas.recipe import Recipe
from msaas.result_facts import ResultFacts
from msaas.songs import parse_song_hash, song_hash
from msaas_worker.attempt import Attempt, Step
from msaas_worker.scratch import Scratch
from msaas_worker.separation import separate_song
from msaas_worker.separators import Separators
from msaas_worker.sources.backend import Backend

log = get_logger()


@dataclass(frozen=True)
class FileSink:
    """Implements `Sink`: keeps the stems as files until the upload."""

    folder: Path
    stems: dict[str, Path] = field(default_factory=dict)

    def put_stem(self, stem: str, file: Path, *, peaks: bytes) -> None:
        self.stems[stem] = file.rename(self.folder / f"{stem}.result")


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
            song, sink = folder / "song", FileSink(folder)
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
            self.backend.upload(name, sink.stems, attempt, facts=facts)
        log.info("result_uploaded", backend=self.backend.url)
        attempt.reach(Step.RESULT_UPLOADED)
