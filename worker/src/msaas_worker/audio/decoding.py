"""A song is decoded in a limited process of its own, so that no file can harm the worker."""

import json
import math
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from msaas.errors import SeparationFailed, SongTooLong, UndecodableSong
from msaas_worker.audio.decoded import FRAME_BYTES, SAMPLERATE, DecodedSong

#: An MP3 has at least 8 kbit/s, which bounds what a file of some size may last.
_MIN_BYTES_PER_S = 1000
_START_CPU_S = 5
#: Song seconds decoded and resampled in one second, at the very least.
_MIN_SPEED = 100
#: A crowded machine gives a process a part of its time only.
_WALL_PER_CPU_S = 10


def decode(mp3: Path, frames: Path, *, max_duration_s: int) -> DecodedSong:
    """Decode `mp3` into the file `frames`.

    Raises:
        UndecodableSong: it is no MP3, or decoding took more memory or time than a song needs.
        SongTooLong: it lasts longer than `max_duration_s`.
        SeparationFailed: there was no room for the samples.
    """
    longest_s = min(max_duration_s, mp3.stat().st_size / _MIN_BYTES_PER_S)
    cpu_s = math.ceil(_START_CPU_S + longest_s / _MIN_SPEED)
    reply = _run_limited(
        [
            "-m",
            "msaas_worker.audio.decoder",
            str(mp3),
            str(frames),
            str(max_duration_s * SAMPLERATE),
            str(cpu_s),
        ],
        timeout_s=cpu_s * _WALL_PER_CPU_S,
    )
    return _song_from(reply, frames)


def _run_limited(arguments: list[str], *, timeout_s: float) -> bytes:
    """Run Python without our environment, in a group of its own that is killed as a whole."""
    child = subprocess.Popen(  # noqa: S603 - our own module; the song is a file's name
        [sys.executable, "-I", *arguments],
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
        raise UndecodableSong("It holds samples that are no numbers.")
    return DecodedSong(frames, frames.stat().st_size // FRAME_BYTES, mean, std)


_ERRORS = {"song_too_long": SongTooLong, "undecodable_song": UndecodableSong, "no_room": SeparationFailed}
