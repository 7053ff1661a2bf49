"""Integer samples of 16 or 24 bits, and the same as floats."""

import numpy as np
from numpy.typing import NDArray

from msaas_worker.audio.decoded import Audio

Integers = NDArray[np.int64]


def quantise(samples: Audio, bits: int) -> Integers:
    """Return the nearest integers of `bits` bits. Samples beyond full scale are clipped."""
    return limit(np.rint(samples.astype(np.float64) * _scale(bits)).astype(np.int64), bits)


def dequantise(integers: Integers, bits: int) -> Audio:
    """Return the integers as floats, which hold 24 bits exactly: `quantise` gives the same integers again."""
    return (integers / _scale(bits)).astype(np.float32)


def limit(integers: Integers, bits: int) -> Integers:
    """Clip integers to the range of `bits` bits."""
    return np.clip(integers, -_scale(bits), _scale(bits) - 1)


def _scale(bits: int) -> int:
    return 1 << (bits - 1)
