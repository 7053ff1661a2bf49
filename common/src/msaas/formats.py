"""Formats of stems: one row each, with their parameters."""

from dataclasses import dataclass

from msaas.errors import UnknownFormat


@dataclass(frozen=True, kw_only=True)
class Format:
    """`extension` ends file names and routes. The first of `bit_rates` and of `bits` is the default.

    `bit_rates` are in kbit/s, `bits` are those of a sample. `is_exact` formats keep every sample as it is.
    """

    name: str
    extension: str
    media_type: str
    bit_rates: tuple[int, ...] = ()
    bits: tuple[str, ...] = ()
    #: Only an installed `ffmpeg` writes it.
    needs_ffmpeg: bool = False

    @property
    def is_exact(self) -> bool:
        return bool(self.bits)


#: Samples as floats, which may exceed full scale.
FLOAT = "float"
DEFAULT_FORMAT = "mp3"
_ROWS = (
    Format(
        name="mp3",
        extension="mp3",
        media_type="audio/mpeg",
        bit_rates=(320, 256, 224, 192, 160, 128),
    ),
    Format(name="flac", extension="flac", media_type="audio/flac", bits=("24", "16")),
    Format(name="wav", extension="wav", media_type="audio/wav", bits=("24", "16", FLOAT)),
    Format(
        name="opus",
        extension="opus",
        media_type="audio/ogg",
        bit_rates=(160, 64, 96, 128, 192, 256),
    ),
    Format(name="m4a", extension="m4a", media_type="audio/mp4", needs_ffmpeg=True),
)
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
