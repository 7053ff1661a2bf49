"""References to tracks in URLs: `<id>/<part>` or `<id>-<part>`, with or without an extension."""

from dataclasses import dataclass

from msaas.errors import TrackNotFound
from msaas.formats import DEFAULT_FORMAT, FORMATS, Format, format_of_extension
from msaas.models import parse_stem
from msaas.songs import parse_id


@dataclass(frozen=True, kw_only=True)
class TrackRef:
    """`part` is the client's name for `stem`."""

    job_id: str
    part: str
    stem: str
    format: Format

    @property
    def file_name(self) -> str:
        return f"{self.job_id}-{self.stem}.{self.format.extension}"


def parse_track(job_id: str, part: str) -> TrackRef:
    """Raises `InvalidId`, `UnknownStem` or `UnknownFormat`."""
    name, dot, extension = part.partition(".")
    stem = parse_stem(name)
    form = format_of_extension(extension) if dot else FORMATS[DEFAULT_FORMAT]
    return TrackRef(job_id=parse_id(job_id), part=part, stem=stem, format=form)


def parse_track_name(name: str) -> TrackRef:
    """Read `<id>-<part>`: older ids hold hyphens, so the last one counts. Raises as `parse_track` does."""
    job_id, hyphen, part = name.rpartition("-")
    if not hyphen:
        raise TrackNotFound(f"Track {name[:140]!r} is not <id>-<part>.")
    return parse_track(job_id, part)
