"""Decoding in a limited and confined process of its own. Its reply is as untrusted as the song."""

import json
import math
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from msaas.errors import SeparationFailed, SongTooLong, UndecodableSong
from msaas_worker.audio.decoded import FRAME_BYTES, SAMPLERATE, DecodedSong

#: An MP3 has at least 8 kbit/s: the size of a file limits its duration.
_MIN_BYTES_PER_S = 1000
_MAX_REPLY_BYTES = 4096
_MAX_DETAIL = 200


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
    with subprocess.Popen(  # noqa: S603 - our own module; the song is the name of a file
        command,
        env={},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as child:
        try:
            return _read_reply(child, timeout_s=timeout_s)
        except TimeoutError:
            raise UndecodableSong(f"Decoding did not end within {timeout_s:g} s.") from None
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)


def _read_reply(child: subprocess.Popen[bytes], *, timeout_s: float) -> bytes:
    """Return the output of a process until its end, or a bit more than a reply has. Raises `TimeoutError`."""
    assert child.stdout
    output, reply, ends_at = child.stdout.fileno(), b"", time.monotonic() + timeout_s
    poll = select.poll()
    poll.register(output)
    while len(reply) <= _MAX_REPLY_BYTES:
        if not poll.poll(1000 * max(0, ends_at - time.monotonic())):
            raise TimeoutError
        if not (part := os.read(output, _MAX_REPLY_BYTES)):
            break
        reply += part
    return reply


def _song_from(reply: bytes, frames: Path) -> DecodedSong:
    try:
        match json.loads(reply):
            case {"error": str(error), "detail": str(detail)} if error in _ERRORS:
                raise _ERRORS[error](detail[:_MAX_DETAIL])
            case {"mean": float(mean), "std": float(std)}:
                pass
            case _:
                raise UndecodableSong("The decoder sent an invalid reply.")
    except (ValueError, RecursionError):
        raise UndecodableSong("Decoding took more memory or time than a song needs.") from None
    if not (math.isfinite(mean) and math.isfinite(std)):
        raise UndecodableSong("The song has samples that are not finite numbers.")
    samples = frames.stat().st_size // FRAME_BYTES
    if not samples:
        raise UndecodableSong("The song has no samples.")
    return DecodedSong(frames, samples, mean, std)


_ERRORS = {"song_too_long": SongTooLong, "undecodable_song": UndecodableSong, "no_room": SeparationFailed}
