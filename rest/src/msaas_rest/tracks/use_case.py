"""A track is a stem in a format, named `<id>/<part>` or `<id>-<part>`."""

from dataclasses import dataclass

from msaas.errors import TrackNotFound, UnknownFormat
from msaas.songs import parse_id
from msaas.stems import parse_stem

#: What a part may end in, and its media type; without an end it is the first.
FORMATS = {"mp3": "audio/mpeg"}


@dataclass(frozen=True)
class Track:
    """`part` is what the client calls it, `stem` what it means."""

    job_id: str
    part: str
    stem: str
    format: str

    @property
    def media_type(self) -> str:
        return FORMATS[self.format]

    @property
    def file_name(self) -> str:
        return f"{self.job_id}-{self.stem}.{self.format}"


def parse_track(job_id: str, part: str) -> Track:
    """Raises `InvalidId`, `UnknownStem` or `UnknownFormat`."""
    stem, _, ending = part.partition(".")
    form = next(iter(FORMATS)) if "." not in part else ending
    parsed = parse_stem(stem)
    if form not in FORMATS:
        raise UnknownFormat(f"{form[:64]!r} is not one of {', '.join(FORMATS)}.")
    return Track(parse_id(job_id), part, parsed, form)


def parse_track_name(name: str) -> Track:
    """Read `<id>-<part>`: older ids hold hyphens, so the last one counts. Raises as `parse_track` does."""
    job_id, hyphen, part = name.rpartition("-")
    if not hyphen:
        raise TrackNotFound(repr(name[:140]))
    return parse_track(job_id, part)
