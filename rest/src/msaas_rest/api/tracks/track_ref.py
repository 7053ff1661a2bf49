"""References to tracks in URLs: `<id>/<part>` or `<id>-<part>`, with or without an extension."""

from dataclasses import dataclass

from msaas.errors import TrackNotFound
from msaas.formats import format_of_extension
from msaas.models import parse_part
from msaas.songs import parse_id


@dataclass(frozen=True, kw_only=True)
class TrackRef:
    """`part` is the client's name for `stem`. `extension` is None if the URL has none: any format will do."""

    job_id: str
    part: str
    stem: str
    extension: str | None


def parse_track(job_id: str, part: str) -> TrackRef:
    """Read the id and the name of a stem, which may have the extension of a format.

    Raises:
        InvalidId, UnknownStem, UnknownFormat: a part of the reference is invalid.
    """
    name, dot, extension = part.partition(".")
    stem = parse_part(name)
    known = format_of_extension(extension).extension if dot else None
    return TrackRef(job_id=parse_id(job_id), part=part, stem=stem, extension=known)


def parse_track_name(name: str) -> TrackRef:
    """Read `<id>-<part>`: older ids hold hyphens, so the last one counts. Raises as `parse_track` does."""
    job_id, hyphen, part = name.rpartition("-")
    if not hyphen:
        raise TrackNotFound(f"Track {name[:140]!r} is not of the form <id>-<part>.")
    return parse_track(job_id, part)
