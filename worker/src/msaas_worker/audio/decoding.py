"""Decoding in limited and confined processes. Their replies are as untrusted as the song."""

import base64
import json
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from mmap import ACCESS_READ, mmap
from pathlib import Path

from msaas.containers import HEAD_BYTES, Container, Decoder, recognise
from msaas.errors import DecoderMissing, MsaasError, SeparationFailed, SongTooLong, UndecodableSong
from msaas.mpeg.tags import skip_tags
from msaas_worker.audio.decoded import FRAME_BYTES, SAMPLERATE, DecodedSong
from msaas_worker.audio.ffmpeg import find_ffmpeg
from msaas_worker.audio.tags import Cover, Tags
from msaas_worker.interruption import check_interruption

#: The slowest songs have 8 kbit/s: the size of a file limits its duration.
_MIN_BYTES_PER_S = 1000
_STDIN = "stdin"
_MAX_REPLY_BYTES = 4096
#: Interval of the question whether the song is still wanted.
_LOOK_S = 0.25
_MAX_DETAIL = 200
_BEYOND_LIMITS = "Decoding took more memory or time than a song needs."
#: ffmpeg ends so much after its output, at most.
_END_S = 5.0
#: The exit status of ffmpeg after a signal that it handles, such as that of too much CPU time.
_SIGNALLED = 255
_TAGS = ".tags"
_MAX_TAGS_BYTES = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class DecoderProcess:
    """The processes and their limits."""

    #: `-I`: without environment and user packages.
    command: tuple[str, ...] = (sys.executable, "-I", "-m", "msaas_worker.audio.decoder")
    ffmpeg: tuple[str, ...] = (sys.executable, "-I", "-m", "msaas_worker.audio.ffmpeg")
    #: CPU time of the start, in s.
    start_cpu_s: int = 5
    #: Seconds of song that are decoded and resampled in a second of CPU time, at least.
    min_speed: int = 100
    #: A crowded machine gives a process a part of its time only.
    wall_per_cpu_s: float = 10.0

    def cpu_s(self, song: Path, *, max_duration_s: int) -> int:
        """Return the CPU time that decoding this file may take, in s."""
        longest_s = min(max_duration_s, song.stat().st_size / _MIN_BYTES_PER_S)
        return math.ceil(self.start_cpu_s + longest_s / self.min_speed)


@dataclass(frozen=True)
class _Decoded:
    song: DecodedSong
    #: The end is missing because of damage.
    is_damaged: bool


def decode(
    song: Path, frames: Path, *, max_duration_s: int, process: DecoderProcess = DecoderProcess()
) -> DecodedSong:
    """Decode `song` into the file `frames`. Where our decoders fail, `ffmpeg` decodes if it is installed.

    An interruption ends the processes.

    Raises:
        UndecodableSong: the file is not audio, or decoding took more memory or time than a song needs.
        DecoderMissing: only `ffmpeg` decodes such files, and it is not installed.
        SongTooLong: the song is longer than `max_duration_s`.
        SeparationFailed: the disk has no room for the samples.
    """
    container, start = _recognise(song)
    decoding = _Decoding(
        song=song, container=container, start=start, process=process, max_duration_s=max_duration_s
    )
    if container.decoder is not Decoder.FFMPEG:
        return _decode_or_repair(decoding, frames)
    if not find_ffmpeg():
        raise DecoderMissing(f"{container.name} needs ffmpeg, which is not installed. Send another format.")
    return decoding.run_ffmpeg(frames).song


def _recognise(song: Path) -> tuple[Container, int]:
    """Return the kind of the file, and where it begins behind tags, as far as this is known."""
    if song.stat().st_size:
        with open(song, "rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            if container := recognise(data):
                start = skip_tags(data, 0)
                return container, start if container.matches(data[start : start + HEAD_BYTES]) else 0
    raise UndecodableSong("The file is not audio of a known kind.")


def _decode_or_repair(decoding: "_Decoding", frames: Path) -> DecodedSong:
    """Decode with our decoders. If they fail before the end, the longer of their song and ffmpeg's counts."""
    found: _Decoded | UndecodableSong
    try:
        found = decoding.run(frames)
    except UndecodableSong as error:
        found = error
    is_whole = isinstance(found, _Decoded) and not found.is_damaged
    if not is_whole and find_ffmpeg():
        with suppress(UndecodableSong):
            other = decoding.run_ffmpeg(frames.with_suffix(".ffmpeg")).song
            if isinstance(found, UndecodableSong) or other.samples > found.song.samples:
                return replace(other, path=other.path.replace(frames))
    if isinstance(found, UndecodableSong):
        raise found
    return found.song


@dataclass(frozen=True, kw_only=True)
class _Decoding:
    """The runs of processes for one song."""

    song: Path
    container: Container
    start: int
    process: DecoderProcess
    max_duration_s: int

    def run(self, frames: Path) -> _Decoded:
        return self._run(frames)

    def run_ffmpeg(self, frames: Path) -> _Decoded:
        """Decode the output of `ffmpeg`."""
        command = (*self.process.ffmpeg, str(self.song), str(self._cpu_s), str(self.start))
        with _started(command, stdin=subprocess.DEVNULL) as ffmpeg:
            assert ffmpeg.stdout
            decoded = self._run(frames, _STDIN, stdin=ffmpeg.stdout.fileno())
            if _is_killed(ffmpeg):
                raise UndecodableSong(_BEYOND_LIMITS)
        return decoded

    @property
    def _cpu_s(self) -> int:
        return self.process.cpu_s(self.song, max_duration_s=self.max_duration_s)

    def _run(self, frames: Path, *source: str, stdin: int = subprocess.DEVNULL) -> _Decoded:
        arguments = (
            *(str(self.song), str(frames), str(self.max_duration_s * SAMPLERATE), str(self._cpu_s)),
            *(self.container.name, *source),
        )
        timeout_s = self._cpu_s * self.process.wall_per_cpu_s
        with _started((*self.process.command, *arguments), stdin=stdin) as decoder:
            try:
                reply = _read_reply(decoder, timeout_s=timeout_s)
            except TimeoutError:
                raise UndecodableSong(f"Decoding did not end within {timeout_s:g} s.") from None
        return _parse_reply(reply, frames)


@contextmanager
def _started(command: tuple[str, ...], *, stdin: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command with an empty environment, in a process group that is killed as a whole."""
    with subprocess.Popen(  # noqa: S603 - our own modules; the song is the name of a file
        command,
        env={},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as child:
        try:
            yield child
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)


def _is_killed(ffmpeg: subprocess.Popen[bytes]) -> bool:
    """Return whether ffmpeg, whose output has ended, was ended by a signal or did not end.

    Other exit statuses tell of damage: what ffmpeg decoded of the song is what players play.
    """
    try:
        status = ffmpeg.wait(_END_S)
    except subprocess.TimeoutExpired:
        return True
    return status < 0 or status == _SIGNALLED


def _read_reply(child: subprocess.Popen[bytes], *, timeout_s: float) -> bytes:
    """Return the output of a process until its end, or a bit more than a reply has. Raises `TimeoutError`."""
    assert child.stdout
    output, reply, ends_at = child.stdout.fileno(), b"", time.monotonic() + timeout_s
    poll = select.poll()
    poll.register(output)
    while len(reply) <= _MAX_REPLY_BYTES:
        if not poll.poll(1000 * _LOOK_S):
            check_interruption()
            if time.monotonic() > ends_at:
                raise TimeoutError
            continue
        if not (part := os.read(output, _MAX_REPLY_BYTES)):
            break
        reply += part
    return reply


def _parse_reply(reply: bytes, frames: Path) -> _Decoded:
    try:
        facts = json.loads(reply)
    except (ValueError, RecursionError):
        raise UndecodableSong(_BEYOND_LIMITS) from None
    match facts:
        case {"error": str(error), "detail": str(detail)} if error in _ERRORS:
            raise _ERRORS[error](detail[:_MAX_DETAIL])
        case {
            "mean": float(mean),
            "std": float(std),
            "source_hz": int(source_hz),
            "source_samples": int(source_samples),
            "is_damaged": bool(is_damaged),
        } if math.isfinite(mean) and math.isfinite(std) and source_hz > 0 and source_samples > 0:
            samples = frames.stat().st_size // FRAME_BYTES
        case _:
            raise UndecodableSong("The decoder sent an invalid reply.")
    if not samples:
        raise UndecodableSong("The song has no samples.")
    song = DecodedSong(
        frames,
        samples,
        mean,
        std,
        source_hz=source_hz,
        source_samples=source_samples,
        tags=_read_tags(frames.with_suffix(_TAGS)),
    )
    return _Decoded(song, is_damaged)


def _read_tags(path: Path) -> Tags:
    """Return the tags that the decoder wrote, none if it failed meanwhile."""
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read(_MAX_TAGS_BYTES))
        texts = {name: str(found[name]) for name in ("title", "artist", "album") if name in found}
        cover = base64.b64decode(found.get("cover", ""), validate=True)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return Tags()
    return Tags(**texts, cover=Cover.recognise(cover) if cover else None)


_ERRORS: dict[str, type[MsaasError]] = {
    "song_too_long": SongTooLong,
    "undecodable_song": UndecodableSong,
    "no_room": SeparationFailed,
}
