"""The quality metric of stems `[2, samples]`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_TINY = 1e-9


def sdr_db(true: NDArray[np.floating], estimate: NDArray[np.floating]) -> float:
    """Return the signal-to-distortion ratio of a whole track, as in the SDX challenges, in dB."""
    signal_power = float((np.asarray(true, np.float64) ** 2).sum())
    error_power = float(((np.asarray(true, np.float64) - estimate) ** 2).sum())
    return float(10 * np.log10((signal_power + _TINY) / (error_power + _TINY)))
