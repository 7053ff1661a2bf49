"""The songs of a call, and the files that their stems are written to."""

import shutil
import string
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

STDIN = Path("-")
DEFAULT_FOLDER = Path("separated")
DEFAULT_TEMPLATE = "{track}/{stem}.{ext}"
_FIELDS = {"track", "trackext", "stem", "ext"}
_STDIN_NAME = "stdin"


@dataclass(frozen=True)
class Song:
    """`path` has the bytes, `name` is the name to show and to derive the track from."""

    path: Path
    name: str

    @property
    def track(self) -> str:
        """Return the name without its extension, as demucs does. `..mp3` has no other name than its own."""
        track = Path(self.name).name.rsplit(".", 1)[0]
        return track if track.strip(".") else Path(self.name).name

    @property
    def extension(self) -> str:
        return Path(self.name).name.rsplit(".", 1)[-1]


@dataclass(frozen=True)
class Naming:
    """Files are `folder` and the template of demucs: `{track}`, `{trackext}`, `{stem}` and `{ext}`."""

    folder: Path = DEFAULT_FOLDER
    template: str = DEFAULT_TEMPLATE

    def path(self, song: Song, *, stem: str, extension: str) -> Path:
        name = self.template.format(track=song.track, trackext=song.extension, stem=stem, ext=extension)
        return self.folder / name

    def check(self, songs: Sequence[Song], *, has_one_stem: bool) -> None:
        """Raise `UsageError` if two stems or two songs would get the same file."""
        if "{stem}" not in self.template and not has_one_stem:
            raise click.UsageError("--filename needs {stem}, unless --stems names one stem.")
        seen: dict[Path, Song] = {}
        for song in songs:
            path = self.path(song, stem="stem", extension="ext")
            if path in seen:
                raise click.UsageError(
                    f"{seen[path].name} and {song.name} would write the same files. "
                    "Rename one, or separate them into different folders with --out."
                )
            seen[path] = song


def parse_template(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Check the value of `--filename`."""
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(value) if name is not None}
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a template: {error}.") from None
    if not names <= _FIELDS:
        raise click.BadParameter("Only {track}, {trackext}, {stem} and {ext} are replaced.")
    try:
        Naming(template=value).path(Song(Path("song.mp3"), "song.mp3"), stem="stem", extension="ext")
    except (ValueError, KeyError) as error:
        raise click.BadParameter(f"{value!r} is not a template: {error}.") from None
    return value


@contextmanager
def open_songs(files: Sequence[Path]) -> Iterator[list[Song]]:
    """Yield the songs. Standard input, `-`, is copied to disk, so that it can be sent again."""
    if files.count(STDIN) > 1:
        raise click.UsageError("Standard input can be named once.")
    with tempfile.TemporaryDirectory(prefix="msaas-") as folder:
        yield [_read_stdin(Path(folder)) if each == STDIN else Song(each, str(each)) for each in files]


def _read_stdin(folder: Path) -> Song:
    path = folder / _STDIN_NAME
    with open(path, "wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return Song(path, _STDIN_NAME)
