"""How far an estimate is from the true stem, and what waves are like; all are `[2, samples]`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_TINY = 1e-9


def sdr_db(true: NDArray[np.floating], estimate: NDArray[np.floating]) -> float:
    """Whole-track signal-to-distortion ratio, as the SDX challenges define it (no filter is allowed for)."""
    signal_power = float((np.asarray(true, np.float64) ** 2).sum())
    error_power = float(((np.asarray(true, np.float64) - estimate) ** 2).sum())
    return float(10 * np.log10((signal_power + _TINY) / (error_power + _TINY)))


def correlation(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """The cosine of two waves, between -1 and 1; no mean is taken off."""
    return float((one * other).sum() / (np.sqrt((one**2).sum() * (other**2).sum()) + _TINY))


def crest_db(wave: NDArray[np.floating]) -> float:
    """Peak over root mean square, in dB."""
    return float(20 * np.log10((np.abs(wave).max() + _TINY) / (np.sqrt((wave**2).mean()) + _TINY)))


def share_below(wave: NDArray[np.floating], *, cutoff_hz: float, rate_hz: int) -> float:
    """The part (0 to 1) of the energy of both sides that lies below a frequency."""
    power = (np.abs(np.fft.rfft(wave, axis=-1)) ** 2).reshape(-1, wave.shape[-1] // 2 + 1).sum(0)
    edge = int(cutoff_hz * wave.shape[-1] / rate_hz)
    return float(power[:edge].sum() / (power.sum() + _TINY))
