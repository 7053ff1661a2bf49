"""Results on stdout, everything else on stderr. Bars are shown while stderr is a terminal."""

import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from msaas_client.command.songs import Song
from msaas_client.errors import JobFailed, RequestFailed
from msaas_client.values import Job

_BAR = "{desc}: {percentage:3.0f} % |{bar}| {elapsed}"
_MAX_NAME = 30
_TICK_S = 1.0


class Output:
    """Prints the results of songs, as paths or as one JSON object a line. Several threads may use it."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._lock = threading.Lock()
        self._shows_bars = sys.stderr.isatty()
        self._free_rows: list[int] = []
        self._rows = 0
        self._bars: list[Bar] = []
        if self._shows_bars:
            threading.Thread(target=self._tick, daemon=True).start()

    # Results

    def print_sent(self, song: Song, job_id: str) -> None:
        """Print the id of a job that is not waited for."""
        self._print({"file": song.name, "id": job_id, "state": "sent"}, job_id)

    def print_done(
        self,
        song: Song,
        stems: Mapping[str, Path],
        *,
        job: Job | None = None,
        facts: Mapping[str, Any] = {},
    ) -> None:
        """Print the files of the stems. `facts` are those of a separation without a job."""
        found = {"file": song.name, **(_facts_of(job) if job else facts)}
        paths = {stem: str(path) for stem, path in stems.items()}
        self._print({**found, "stems": paths, "error": None}, *paths.values())

    def print_failed(
        self, song: Song, error: Exception, *, job_id: str | None = None, state: str = "failed"
    ) -> None:
        """Print the reason to stderr, and with JSON an object to stdout. A job keeps its state."""
        if isinstance(error, JobFailed):
            state = error.job.state
        if self._as_json:
            self._print({"file": song.name, "id": job_id, "state": state, "error": describe(error)})
        is_named = song.name == job_id and job_id in str(error)
        self.tell(str(error) if is_named else f"{song.name}: {error}", is_error=True)

    def print_skipped(self, songs: Sequence[Song]) -> None:
        """Print the number of songs that were not sent, and with JSON an object for each."""
        if songs:
            self.tell(f"{len(songs)} song{'s were' if len(songs) > 1 else ' was'} not sent.")
        for song in songs:
            self._print({"file": song.name, "id": None, "state": "skipped", "error": None})

    def tell(self, text: str, *, is_error: bool = False) -> None:
        """Print a line to stderr."""
        with self._lock, tqdm.external_write_mode(file=sys.stderr):
            show_error(text) if is_error else click.echo(text, err=True)

    def _print(self, found: Mapping[str, Any], *lines: str) -> None:
        with self._lock, tqdm.external_write_mode(file=sys.stdout):
            for line in [json.dumps(found)] if self._as_json else lines:
                click.echo(line)

    # Bars

    @contextmanager
    def bar(self, song: Song) -> Iterator["Bar"]:
        """Yield the bar of a song. Each bar has a row of its own."""
        with self._lock:
            row = self._free_rows.pop() if self._free_rows else self._rows
            self._rows = max(self._rows, row + 1)
            bar = Bar(song, row=row, is_shown=self._shows_bars)
            self._bars.append(bar)
        try:
            yield bar
        finally:
            with self._lock:
                self._bars.remove(bar)
                bar.close()
                self._free_rows.append(row)

    def _tick(self) -> None:
        """Let the time in the bars go on while nothing else changes."""
        while True:
            time.sleep(_TICK_S)
            with self._lock:
                for bar in self._bars:
                    bar.refresh()


class Bar:
    """Progress of one song, phase by phase."""

    def __init__(self, song: Song, *, row: int, is_shown: bool) -> None:
        self._name = song.name if len(song.name) <= _MAX_NAME else f"…{song.name[1 - _MAX_NAME :]}"
        self._bar = tqdm(
            total=1.0,
            desc=self._name,
            position=row,
            leave=False,
            disable=not is_shown,
            bar_format=_BAR,
            file=sys.stderr,
            dynamic_ncols=True,
        )

    def show(self, phase: str, share: float) -> None:
        """Show the share (0 to 1) of this phase that is done."""
        if self._bar.disable:
            return
        self._bar.set_description_str(f"{self._name} {phase}", refresh=False)
        self._bar.n = min(share, 1.0)
        self._bar.refresh()

    def refresh(self) -> None:
        self._bar.refresh()

    def close(self) -> None:
        is_shown = not self._bar.disable
        self._bar.close()
        if is_shown:
            # tqdm leaves the cursor behind a bar that is not in the first row.
            sys.stderr.write("\r")


def show_error(text: str) -> None:
    """Print an error to stderr, in or outside of a command."""
    click.echo(f"{click.style('error:', fg='red')} {text}", err=True, color=choose_colour())


def choose_colour() -> bool | None:
    """Return False if `NO_COLOR` turns colours off, None to colour terminals only."""
    return False if os.environ.get("NO_COLOR") else None


def describe(error: Exception) -> dict[str, str]:
    """Return the error as an object."""
    code = error.code if isinstance(error, RequestFailed) else ""
    if isinstance(error, JobFailed) and error.job.error:
        code = error.job.error.code
    return {"code": code or type(error).__name__, "detail": str(error)}


def _facts_of(job: Job) -> dict[str, Any]:
    return {"id": job.id, "state": job.state, "model": job.model, "device": job.device}
