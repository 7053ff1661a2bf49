"""Decoding in a limited process of its own: no file can harm the worker."""

import json
import math
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from msaas.errors import SeparationFailed, SongTooLong, UndecodableSong
from msaas_worker.audio.decoded import FRAME_BYTES, SAMPLERATE, DecodedSong

#: An MP3 has at least 8 kbit/s: the size of a file limits its duration.
_MIN_BYTES_PER_S = 1000


@dataclass(frozen=True, kw_only=True)
class DecoderProcess:
    """The process and its limits."""

    #: `-I`: without environment and user packages.
    command: tuple[str, ...] = (sys.executable, "-I", "-m", "msaas_worker.audio.decoder")
    #: CPU time of the start, in s.
    start_cpu_s: int = 5
    #: Seconds of song that are decoded and resampled in a second of CPU time, at least.
    min_speed: int = 100
    #: A crowded machine gives a process a part of its time only.
    wall_per_cpu_s: float = 10.0

    def cpu_s(self, mp3: Path, *, max_duration_s: int) -> int:
        """Return the CPU time that decoding this file may take, in s."""
        longest_s = min(max_duration_s, mp3.stat().st_size / _MIN_BYTES_PER_S)
        return math.ceil(self.start_cpu_s + longest_s / self.min_speed)


def decode(
    mp3: Path, frames: Path, *, max_duration_s: int, process: DecoderProcess = DecoderProcess()
) -> DecodedSong:
    """Decode `mp3` into the file `frames`.

    Raises:
        UndecodableSong: the file is not an MP3, or decoding took more memory or time than a song needs.
        SongTooLong: the song is longer than `max_duration_s`.
        SeparationFailed: the disk has no room for the samples.
    """
    cpu_s = process.cpu_s(mp3, max_duration_s=max_duration_s)
    arguments = (str(mp3), str(frames), str(max_duration_s * SAMPLERATE), str(cpu_s))
    reply = _run((*process.command, *arguments), timeout_s=cpu_s * process.wall_per_cpu_s)
    return _song_from(reply, frames)


def _run(command: tuple[str, ...], *, timeout_s: float) -> bytes:
    """Run a command with an empty environment, in a process group that is killed as a whole."""
    child = subprocess.Popen(  # noqa: S603 - our own module; the song is the name of a file
        command,
        env={},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        reply, _ = child.communicate(timeout=timeout_s)
        return reply
    except subprocess.TimeoutExpired:
        raise UndecodableSong(f"Decoding did not end within {timeout_s:g} s.") from None
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _song_from(reply: bytes, frames: Path) -> DecodedSong:
    try:
        facts = json.loads(reply)
    except ValueError:
        raise UndecodableSong("Decoding took more memory or time than a song needs.") from None
    if "error" in facts:
        raise _ERRORS[facts["error"]](facts["detail"])
    mean, std = float(facts["mean"]), float(facts["std"])
    if not (math.isfinite(mean) and math.isfinite(std)):
        raise UndecodableSong("The song has samples that are not finite numbers.")
    return DecodedSong(frames, frames.stat().st_size // FRAME_BYTES, mean, std)


_ERRORS = {"song_too_long": SongTooLong, "undecodable_song": UndecodableSong, "no_room": SeparationFailed}
