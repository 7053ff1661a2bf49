"""Numbers drawn by chance, evenly on the scale on which they are heard."""

from __future__ import annotations

import numpy as np


def by_octaves(rng: np.random.Generator, low: float, high: float) -> float:
    """Between two numbers above nothing, each octave as often as the next."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
