"""The decoder process of untrusted songs, limited in memory, time and output, and confined to its open files.

    python -m msaas_worker.audio.decoder SONG FRAMES.f32 MAX_SAMPLES CPU_S KIND [stdin]

It writes interleaved stereo float32 at 44.1 kHz, and on stdout one line of JSON: facts, or the error. Then it
writes the tags of the song beside the samples. KIND is a name of `msaas.containers`. With `stdin`, the
samples come from `ffmpeg`.
"""

import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, Self, TextIO

# Each thread of a BLAS reserves address space: one is enough.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

from msaas.containers import CONTAINERS, Container, Decoder
from msaas.links import FIND_LINKS
from msaas_worker.audio.decoded import FRAME_BYTES, SAMPLERATE, Audio
from msaas_worker.audio.decoders import Blocks, TooLongError
from msaas_worker.audio.decoders.links import decode_links
from msaas_worker.audio.decoders.mpeg import decode_mpeg
from msaas_worker.audio.decoders.sndfile import BLOCK_SAMPLES, decode_sndfile
from msaas_worker.audio.decoders.wav import decode_wav
from msaas_worker.audio.process_limits import limit
from msaas_worker.audio.resampling import resample
from msaas_worker.audio.tag_reader import read_tags
from msaas_worker.confinement.process import confine

MEMORY_BYTES = 1536 * 1024 * 1024
STDIN = "stdin"
#: 60 dB above full scale. A sample beyond it, infinite or not a number is damage.
_MAX_LEVEL = 1000.0


class Facts:
    """Facts about the song, collected while it passes."""

    def __init__(self, *, max_samples: int) -> None:
        self.samples, self._max_samples = 0, max_samples
        self.limit_s = max_samples / SAMPLERATE
        self.source_samples = self.source_hz = 0
        self._is_damaged = False
        self._total = self._squares = 0.0

    def note_damage(self) -> None:
        """Note that the end of the song is missing because of damage."""
        self._is_damaged = True

    def watch_source(self, blocks: Blocks) -> Blocks:
        """Count the samples before they are resampled."""
        for rate_hz, block in blocks:
            self.source_hz = self.source_hz or rate_hz
            self.source_samples += block.shape[-1]
            yield rate_hz, block

    def watch(self, blocks: Iterator[Audio]) -> Iterator[Audio]:
        """Count the samples at 44.1 kHz, and sum their mono downmix. Raises `TooLongError`."""
        for block in blocks:
            self.samples += block.shape[-1]
            if self.samples > self._max_samples:
                raise TooLongError(self.limit_s)
            mono = block.mean(axis=0).astype(np.float64)
            self._total += mono.sum()
            self._squares += np.square(mono).sum()
            yield block

    def as_json(self) -> dict[str, float | bool]:
        """Return the facts, with the mean and the standard deviation of the mono downmix."""
        if not self.samples:
            raise ValueError("The file has no sound.")
        mean = self._total / self.samples
        variance = max(0.0, self._squares - self.samples * mean**2) / max(1, self.samples - 1)
        return {
            "samples": self.samples,
            "source_hz": self.source_hz,
            "source_samples": self.source_samples,
            "mean": mean,
            "std": math.sqrt(variance),
            "is_damaged": self._is_damaged,
        }


@dataclass(frozen=True, kw_only=True)
class Files:
    """The files of this process, opened before it is confined. `clean` is an empty one."""

    song: BinaryIO
    data: mmap
    frames: BinaryIO
    clean: BinaryIO
    tags: TextIO

    @classmethod
    def open(cls, song: str, frames: str) -> Self:
        """Raises `OSError`, or `ValueError` for an empty song."""
        opened = open(song, "rb")  # noqa: SIM115 - open until the process ends
        return cls(
            song=opened,
            data=mmap(opened.fileno(), 0, access=ACCESS_READ),
            frames=open(frames, "wb"),
            clean=TemporaryFile(dir=Path(frames).parent),
            tags=open(Path(frames).with_suffix(".tags"), "w", encoding="utf-8"),
        )


def decode(files: Files, container: Container, facts: Facts) -> Blocks:
    """Yield the song as stereo. Raises `TooLongError` if an MPEG file shows it before it is decoded."""
    if container.decoder is Decoder.MPEG:
        return decode_mpeg(files.data, files.clean, limit_s=facts.limit_s)
    if find_links := FIND_LINKS.get(container.name):
        return decode_links(
            files.song, files.data, files.clean, find_links=find_links, on_damage=facts.note_damage
        )
    return decode_sndfile(files.song, on_damage=facts.note_damage)


def write(blocks: Blocks, frames: BinaryIO, facts: Facts) -> None:
    """Write the song at 44.1 kHz."""
    sane = ((rate_hz, _without_damage(block)) for rate_hz, block in facts.watch_source(blocks))
    for block in facts.watch(resample(sane, target_hz=SAMPLERATE)):
        frames.write(np.ascontiguousarray(block.T, np.float32).tobytes())
    frames.flush()


def _without_damage(block: Audio) -> Audio:
    return np.where(np.abs(block) <= _MAX_LEVEL, block, np.float32(0))


def run(song: str, target: str, container: Container, *, max_samples: int, from_stdin: bool) -> None:
    """Confine this process, decode, answer, and write the tags: they may fail, and take what time is left."""
    try:
        files = Files.open(song, target)
    except (OSError, ValueError) as error:
        _answer(_describe(error, song))
        return
    confine()
    facts = Facts(max_samples=max_samples)
    try:
        write(
            decode_wav(sys.stdin.buffer) if from_stdin else decode(files, container, facts),
            files.frames,
            facts,
        )
        _answer(facts.as_json())
    except Exception as error:
        _answer(_describe(error, song))
        return
    json.dump(read_tags(files.song, container), files.tags)
    files.tags.flush()


def _answer(reply: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(reply) + "\n")
    sys.stdout.flush()


def _describe(error: Exception, song: str) -> dict[str, object]:
    if isinstance(error, TooLongError):
        return {"error": "song_too_long", "detail": str(error)}
    if isinstance(error, OSError):
        return {"error": "no_room", "detail": error.strerror or str(error)}
    return {"error": "undecodable_song", "detail": str(error).replace(song, "song")[:200]}


def main() -> None:
    song, target, max_samples, cpu_s, kind, *source = sys.argv[1:]
    # The largest file is that of the samples, or a copy of a part of the song.
    output_bytes = max((int(max_samples) + BLOCK_SAMPLES * 8) * FRAME_BYTES, os.stat(song).st_size)
    limit(memory_bytes=MEMORY_BYTES, cpu_s=int(cpu_s), output_bytes=output_bytes)
    run(song, target, CONTAINERS[kind], max_samples=int(max_samples), from_stdin=source == [STDIN])


if __name__ == "__main__":
    main()
