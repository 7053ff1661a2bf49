"""The decoder process of untrusted MP3s, limited in memory, time and output, and confined to its two files.

    python -m msaas_worker.audio.decoder SONG.mp3 FRAMES.f32 MAX_SAMPLES CPU_S

It writes interleaved stereo float32 at 44.1 kHz, and on stdout one line of JSON: facts, or the error.
"""

import ctypes
import json
import math
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

# Each thread of a BLAS reserves address space: one is enough.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import sphn

from msaas_worker.audio.decoded import CHANNELS, FRAME_BYTES, SAMPLERATE, Audio
from msaas_worker.audio.resampling import Resampler
from msaas_worker.confinement.process import confine

MEMORY_BYTES = 1536 * 1024 * 1024
_BLOCK_S = 20
#: A seek loses the overlap with the frame before: these samples before a block are decoded and dropped.
_PREROLL_SAMPLES = 4 * 1152
_PR_SET_PDEATHSIG = 1


class TooLongError(Exception):
    """The song has more samples than allowed."""


def limit(*, max_samples: int, cpu_s: int) -> None:
    """Limit this process, and let it die with its parent (Linux only)."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    output_bytes = (max_samples + _BLOCK_S * SAMPLERATE) * FRAME_BYTES
    resource.setrlimit(resource.RLIMIT_FSIZE, (output_bytes, output_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def blocks(path: str) -> Iterator[tuple[int, Audio]]:
    """Yield the sample rate and blocks `[1 or 2, n]`; joined they are bit for bit those of `sphn.read`."""
    reader = sphn.FileReader(path)
    rate = reader.sample_rate
    length = _BLOCK_S * rate
    for start in range(0, sys.maxsize, length):
        preroll = min(start, _PREROLL_SAMPLES)
        block = _decode(reader, start - preroll, preroll + length, rate)[:, preroll:]
        if block.shape[-1]:
            yield rate, block
        if block.shape[-1] < length:
            return


def _decode(reader: sphn.FileReader, start: int, samples: int, rate: int) -> Audio:
    # The position is in seconds and is rounded down: add a quarter of a sample.
    try:
        block: Audio = reader.decode((start + 0.25) / rate, (samples + 0.25) / rate)
    except ValueError as error:
        if start and "end of stream" in str(error):
            return np.empty((1, 0), np.float32)
        raise
    return block[:CHANNELS]


def resample(path: str) -> Iterator[Audio]:
    """Yield the song `[1 or 2, n]` at 44.1 kHz."""
    resampler = None
    for rate, block in blocks(path):
        resampler = resampler or Resampler(rate, SAMPLERATE)
        yield resampler.feed(block)
    if resampler and (rest := resampler.flush()) is not None:
        yield rest


def write(path: str, frames: BinaryIO, *, max_samples: int) -> dict[str, float]:
    """Write the song and return its length and the mean and standard deviation of its mono downmix."""
    samples, total, squares = 0, 0.0, 0.0
    for block in resample(path):
        samples += block.shape[-1]
        if samples > max_samples:
            raise TooLongError(f"The song is longer than {max_samples / SAMPLERATE:g} s.")
        mono = block.mean(axis=0).astype(np.float64)
        total += mono.sum()
        squares += np.square(mono).sum()
        stereo = np.broadcast_to(block, (CHANNELS, block.shape[-1]))
        frames.write(np.ascontiguousarray(stereo.T, np.float32).tobytes())
    if not samples:
        raise ValueError("The file has no sound.")
    mean = total / samples
    variance = max(0.0, squares - samples * mean**2) / max(1, samples - 1)
    return {"samples": samples, "mean": mean, "std": math.sqrt(variance)}


def answer(song: str, target: str, *, max_samples: int) -> dict[str, object]:
    """Decode a song into the file `target`; return facts or `error` and `detail`. Confines this process."""
    try:
        with open(target, "wb") as frames:
            confine(readable=Path(song))
            return dict(write(song, frames, max_samples=max_samples))
    except TooLongError as error:
        return {"error": "song_too_long", "detail": str(error)}
    except OSError as error:
        return {"error": "no_room", "detail": error.strerror or str(error)}
    except BaseException as error:  # A panic of the decoder is not an Exception.
        return {"error": "undecodable_song", "detail": str(error).replace(song, "song")[:200]}


def main() -> None:
    song, target, max_samples, cpu_s = sys.argv[1:]
    limit(max_samples=int(max_samples), cpu_s=int(cpu_s))
    sys.stdout.write(json.dumps(answer(song, target, max_samples=int(max_samples))) + "\n")


if __name__ == "__main__":
    main()
