"""`msaas separate --local`: the songs of a call, one after the other."""

import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from msaas.errors import (
    InvalidOption,
    MsaasError,
    UnknownFormat,
    UnknownModel,
    UnknownOption,
    UnknownStem,
)
from msaas.formats import FORMATS
from msaas.logs import configure_logging
from msaas.models import DEFAULT_MODEL
from msaas.recipe import Recipe
from msaas_client.command.exits import ExitCode
from msaas_client.command.output import Bar, Output, show_error
from msaas_client.command.songs import Naming, Song
from msaas_client.local.mixdown import mixdown_of
from msaas_worker.allocator import keep_freed_memory
from msaas_worker.attempt import UnattendedAttempt
from msaas_worker.audio.encoders.opening import check_format
from msaas_worker.audio.mixing import Mixdown
from msaas_worker.separation import separate_song
from msaas_worker.separators import Precision, Separator
from msaas_worker.separators.library import open_model

_USAGE = (UnknownOption, InvalidOption, UnknownModel, UnknownStem, UnknownFormat)
#: A day: the limit protects a service, and here the user decides.
_MAX_DURATION_S = 24 * 3600


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A loaded model, and the way to the results."""

    separator: Separator
    recipe: Recipe
    mixdown: Mixdown

    def separate(self, song: Song, naming: Naming, bar: Bar) -> dict[str, Path]:
        """Write the stems of a song, and return their paths. Raises `MsaasError`."""
        sink = FolderSink(song=song, naming=naming, extension=FORMATS[self.recipe.format].extension)
        with tempfile.TemporaryDirectory(prefix="msaas-") as folder:
            # Intermediate files are put beside the song.
            link = Path(folder) / "song"
            link.symlink_to(song.path.resolve())
            separate_song(
                link,
                self.recipe,
                self.separator,
                sink,
                ShownAttempt(bar),
                max_duration_s=_MAX_DURATION_S,
                mixdown=self.mixdown,
            )
        return sink.paths


def separate_songs(
    songs: Sequence[Song],
    *,
    options: Mapping[str, Any],
    naming: Naming,
    output: Output,
    repo: Path | None,
    device: str,
    precision: Precision,
    other_method: str,
) -> ExitCode:
    """Separate songs as demucs does, into `<out>/<model>/…`. A song that fails does not end the others.

    Raises:
        UsageError: an option is unknown or invalid.
    """
    # Standard output has the results.
    configure_logging(service="msaas", level="error", stream=sys.stderr)
    name = str(options.get("model") or DEFAULT_MODEL)
    try:
        recipe = Recipe.parse({**options, "model": name})
        model = recipe.model or DEFAULT_MODEL
        mixdown = mixdown_of(recipe, model=model, other_method=other_method)
        check_format(recipe.format)
    except _USAGE as error:
        raise click.UsageError(error.detail) from None
    # Before any thread starts: a thread keeps its malloc arena.
    keep_freed_memory()
    try:
        separator = open_model(model, repo=repo, device=device, precision=precision)
    except (MsaasError, OSError) as error:
        show_error(str(error))
        return ExitCode.FAILED
    engine = Engine(separator=separator, recipe=recipe, mixdown=mixdown)
    naming = replace(naming, folder=naming.folder / name)
    return max([_separate(engine, song, naming, output) for song in songs])


def _separate(engine: Engine, song: Song, naming: Naming, output: Output) -> ExitCode:
    try:
        with output.bar(song) as bar:
            paths = engine.separate(song, naming, bar)
    except (MsaasError, OSError) as error:
        output.print_failed(song, error)
        return ExitCode.FAILED
    facts = {"state": "done", "model": engine.separator.model, "device": engine.separator.device}
    output.print_done(song, paths, facts=facts)
    return ExitCode.DONE


class ShownAttempt(UnattendedAttempt):
    """Shows the progress in a bar."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        bar.show("is decoded", 0.0)

    def report_progress(self, share: float | None = None) -> None:
        if share is not None:
            self._bar.show("is separated", share)


@dataclass(kw_only=True)
class FolderSink:
    """Implements `Sink`: a stem gets its name when it is whole. The analysis is for pages."""

    takes_analysis = False
    song: Song
    naming: Naming
    extension: str
    paths: dict[str, Path] = field(default_factory=dict)

    def put_stem(self, stem: str, file: Path, *, peaks: bytes) -> None:
        target = self.naming.path(self.song, stem=stem, extension=self.extension)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        shutil.copyfile(file, part)
        part.replace(target)
        self.paths[stem] = target

    def put_analysis(self, analysis: bytes) -> None:
        pass
