"""The reference decoders `ffmpeg` and `mpg123`, and the comparison of two decoded songs."""

import math
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from msaas_worker.audio.decoded import CHANNELS, SAMPLERATE, Audio
from tests.servers import absent

_MAX_LAG = 3000
_AU_HEADER_BYTES = 24


def require(*programs: str) -> None:
    """End the test if a program is not installed: skip it, or fail it in CI."""
    for program in programs:
        if not shutil.which(program):
            absent(program)


def run(*command: str | Path) -> bytes:
    return subprocess.run(list(map(str, command)), check=True, capture_output=True).stdout


def decode_by_ffmpeg(path: Path, *, rate_hz: int = SAMPLERATE) -> Audio:
    """Return the first audio stream. Mono is on both sides.

    Other channels are `[channels, samples]` as in the file. Of a damaged file it is the part that plays.
    """
    command = ["ffmpeg", "-v", "quiet", "-i", str(path), "-map", "0:a:0"]
    command += ["-af", f"aresample={rate_hz}:resampler=soxr:precision=28"]
    command += ["-c:a", "pcm_f32be", "-f", "au", "-"]
    output = subprocess.run(command, check=False, capture_output=True).stdout
    if len(output) < _AU_HEADER_BYTES:
        return np.empty((CHANNELS, 0), np.float32)
    start, channels = (int.from_bytes(output[at : at + 4]) for at in (4, 20))
    frames = (len(output) - start) // (4 * channels)
    audio = np.frombuffer(output, ">f4", count=frames * channels, offset=start).reshape(-1, channels).T
    return np.broadcast_to(audio, (max(CHANNELS, channels), frames)).astype(np.float32)


def decode_by_mpg123(path: Path, *, rate_hz: int = SAMPLERATE) -> Audio:
    command = ["mpg123", "-q", "-e", "f32", "--stereo", "-r", str(rate_hz), "-s", str(path)]
    output = subprocess.run(command, check=False, capture_output=True).stdout
    return np.frombuffer(output[: len(output) // 8 * 8], "<f4").reshape(-1, 2).T


@dataclass(frozen=True)
class Comparison:
    """`lag` is the number of samples by which the other begins after the reference."""

    lag: int
    snr_db: float


def compare(reference: Audio, other: Audio) -> Comparison:
    """Find the lag of `other`, and the signal-to-noise ratio in their common part without it."""
    lag = find_lag(reference, other)
    late, early = other[:, max(0, lag) :], reference[:, max(0, -lag) :]
    common = min(late.shape[-1], early.shape[-1])
    return Comparison(lag, snr_db(early[:, :common], late[:, :common]))


def find_lag(reference: Audio, other: Audio) -> int:
    """Return the lag of the highest correlation of the mono downmixes."""
    samples = min(reference.shape[-1], other.shape[-1])
    a, b = (np.fft.rfft(each[:, :samples].mean(axis=0), 2 * samples) for each in (reference, other))
    correlation = np.abs(np.fft.irfft(b * a.conj()))
    most = min(_MAX_LAG, samples - 1)
    return int(np.argmax(np.roll(correlation, most)[: 2 * most + 1])) - most


def snr_db(reference: Audio, other: Audio) -> float:
    error = float(np.square(reference - other, dtype=np.float64).sum())
    power = float(np.square(reference, dtype=np.float64).sum())
    return math.inf if error == 0 else -math.inf if power == 0 else 10 * math.log10(power / error)


def right_share(reference: Audio, other: Audio, *, block: int = 1152) -> float:
    """Return the share of blocks in which the error is 60 dB below the reference."""
    blocks = min(reference.shape[-1], other.shape[-1]) // block
    a, b = (each[:, : blocks * block].reshape(2, blocks, block) for each in (reference, other))
    error = np.square(a - b, dtype=np.float64).mean(axis=(0, 2))
    return float((error <= 1e-6 * np.square(reference, dtype=np.float64).mean()).mean())
