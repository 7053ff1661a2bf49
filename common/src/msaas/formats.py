"""Formats of stems: one row each."""

from dataclasses import dataclass

from msaas.errors import UnknownFormat


@dataclass(frozen=True, kw_only=True)
class Format:
    """`extension` ends file names and routes."""

    name: str
    extension: str
    media_type: str


DEFAULT_FORMAT = "mp3"
_ROWS = (Format(name="mp3", extension="mp3", media_type="audio/mpeg"),)
FORMATS: dict[str, Format] = {row.name: row for row in _ROWS}


def parse_format(name: str) -> str:
    """Return `name` if it is a format of the table.

    Raises:
        UnknownFormat: listing the known formats.
    """
    if name not in FORMATS:
        raise UnknownFormat(f"Format {name[:64]!r} is unknown. Choose one of {', '.join(FORMATS)}.")
    return name


def format_of_extension(extension: str) -> Format:
    """Return the format of files that end in `.extension`.

    Raises:
        UnknownFormat: listing the known extensions.
    """
    for row in FORMATS.values():
        if row.extension == extension:
            return row
    known = ", ".join(row.extension for row in FORMATS.values())
    raise UnknownFormat(f"Extension {extension[:64]!r} is unknown. Choose one of {known}.")
