"""Separation of arrays and quality metrics of stems `[2, samples]`."""

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from msaas.models import MODELS
from msaas_worker.audio.decoded import DecodedSong
from msaas_worker.separators import Separator

_TINY = 1e-9


def separate(mixture: NDArray[np.float32], *, separator: Separator) -> NDArray[np.float32]:
    """Separate a mixture `[2, samples]` into `[stems, 2, samples]`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "song.f32"
        np.ascontiguousarray(mixture.T, np.float32).tofile(path)
        mono = mixture.mean(0, dtype=np.float64)
        song = DecodedSong(path, mixture.shape[1], float(mono.mean()), float(mono.std(ddof=1)))
        stems = MODELS[separator.model].stems
        return np.concatenate(
            list(separator.separate(song, stems=stems, on_progress=lambda done: None)), axis=-1
        )


def sdr_db(true: NDArray[np.floating], estimate: NDArray[np.floating]) -> float:
    """Return the signal-to-distortion ratio of a whole track, as in the SDX challenges, in dB."""
    signal_power = float((np.asarray(true, np.float64) ** 2).sum())
    error_power = float(((np.asarray(true, np.float64) - estimate) ** 2).sum())
    return float(10 * np.log10((signal_power + _TINY) / (error_power + _TINY)))


def correlation(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Return the cosine similarity of two waves, without removal of the mean."""
    return float((one * other).sum() / (np.sqrt((one**2).sum() * (other**2).sum()) + _TINY))


def crest_db(wave: NDArray[np.floating]) -> float:
    """Return the ratio of peak to root mean square in dB."""
    return float(20 * np.log10((np.abs(wave).max() + _TINY) / (np.sqrt((wave**2).mean()) + _TINY)))


def share_below(wave: NDArray[np.floating], *, cutoff_hz: float, rate_hz: int) -> float:
    """Return the share (0 to 1) of the energy below a frequency."""
    power = (np.abs(np.fft.rfft(wave, axis=-1)) ** 2).reshape(-1, wave.shape[-1] // 2 + 1).sum(0)
    edge = int(cutoff_hz * wave.shape[-1] / rate_hz)
    return float(power[:edge].sum() / (power.sum() + _TINY))
