"""The encoder of each format."""

from collections.abc import Callable
from pathlib import Path

from msaas.errors import FormatUnavailable
from msaas.formats import FORMATS
from msaas_worker.audio.encoders import Encoder
from msaas_worker.audio.encoders.m4a import M4aEncoder
from msaas_worker.audio.encoders.mp3 import Mp3Encoder, mp3_layout
from msaas_worker.audio.encoders.mp3_layout import Mp3Layout
from msaas_worker.audio.encoders.sndfile import SndfileEncoder
from msaas_worker.audio.ffmpeg import find_ffmpeg
from msaas_worker.audio.stem_format import StemFormat
from msaas_worker.audio.tags import Tags

_ENCODERS: dict[str, Callable[[Path, StemFormat, Tags], Encoder]] = {
    "mp3": Mp3Encoder,
    "flac": SndfileEncoder,
    "wav": SndfileEncoder,
    "opus": SndfileEncoder,
    "m4a": M4aEncoder,
}


def open_encoder(path: Path, form: StemFormat, tags: Tags) -> Encoder:
    """Create the file of a stem. Raises `FormatUnavailable`."""
    check_format(form.name)
    return _ENCODERS[form.name](path, form, tags)


def check_format(name: str) -> None:
    """Raise `FormatUnavailable` if this machine cannot write the format."""
    if FORMATS[name].needs_ffmpeg and not find_ffmpeg():
        raise FormatUnavailable(f"Format {name!r} needs ffmpeg, which is not installed on this worker.")


def layout_of(form: StemFormat) -> Mp3Layout | None:
    """Return the layout of files that can be played in parts, None if a format has none."""
    return mp3_layout(form) if form.name == "mp3" else None
