"""Random distributions on perceptual scales."""

from __future__ import annotations

import numpy as np


def draw_log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number between two positive bounds, with equal probability for every octave."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
