"""AAC in M4A by the `ffmpeg` command.

The input is our own samples, so the command needs no confinement. A cover would be a stranger's bytes: M4A
stems have none.
"""

import subprocess
from contextlib import suppress
from pathlib import Path

import numpy as np

from msaas.errors import SeparationFailed
from msaas_worker.audio.decoded import CHANNELS, Audio
from msaas_worker.audio.ffmpeg import find_ffmpeg
from msaas_worker.audio.stem_format import StemFormat
from msaas_worker.audio.tags import Tags

_BIT_RATE = "256k"


class M4aEncoder:
    """Implements `Encoder`."""

    final_bytes = 0

    def __init__(self, path: Path, form: StemFormat, tags: Tags) -> None:
        command = find_ffmpeg()
        assert command, "`check_format` comes before."
        self._ffmpeg = subprocess.Popen(  # noqa: S603 - the arguments are ours, and texts of tags
            [command, *_arguments(path, form, tags)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def write(self, frames: Audio) -> None:
        assert self._ffmpeg.stdin
        try:
            self._ffmpeg.stdin.write(np.ascontiguousarray(frames, "<f4").data)
        except BrokenPipeError:
            raise _failed() from None

    def finish(self) -> None:
        assert self._ffmpeg.stdin
        with suppress(BrokenPipeError):
            self._ffmpeg.stdin.close()
        if self._ffmpeg.wait():
            raise _failed()

    def close(self) -> None:
        self._ffmpeg.kill()
        self._ffmpeg.wait()
        assert self._ffmpeg.stdin
        with suppress(BrokenPipeError):
            self._ffmpeg.stdin.close()


def _arguments(path: Path, form: StemFormat, tags: Tags) -> list[str]:
    rate = str(form.rate_hz)
    texts = [part for name, text in tags.texts.items() for part in ("-metadata", f"{name}={text}")]
    return [
        *("-nostdin", "-hide_banner", "-loglevel", "error", "-y"),
        *("-f", "f32le", "-ar", rate, "-ac", str(CHANNELS), "-i", "pipe:0"),
        *("-c:a", "aac", "-b:a", _BIT_RATE, *texts),
        # The list of edits has the exact length only in units of samples. The index comes first, for players.
        *("-movie_timescale", rate, "-movflags", "+faststart", "-f", "ipod", f"file:{path}"),
    ]


def _failed() -> SeparationFailed:
    return SeparationFailed("ffmpeg failed to encode a stem.")
