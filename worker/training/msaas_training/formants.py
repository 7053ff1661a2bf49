"""A mouth that no engine recorded: vowels as resonances, consonants as bursts of noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from msaas_training.notes import SAMPLE_RATE_HZ
from msaas_training.voiceprint import BINS, FFT, HOP, Voiceprint

#: Three formants in Hz for eleven vowels (a middle of many published tables).
VOWELS_HZ = np.array(
    [
        (730, 1090, 2440),
        (530, 1840, 2480),
        (270, 2290, 3010),
        (570, 840, 2410),
        (300, 870, 2240),
        (660, 1720, 2410),
        (490, 1350, 1690),
        (640, 1190, 2390),
        (440, 1020, 2240),
        (390, 1990, 2550),
        (350, 1500, 2300),
    ],
    float,
)
_FREQUENCIES_HZ = np.arange(BINS) * SAMPLE_RATE_HZ / FFT


def drawn(rng: np.random.Generator, *, syllables: int) -> Voiceprint:
    """Random syllables of one random mouth, about five a second."""
    mouth, widths = rng.uniform(0.82, 1.3), rng.uniform(60, 160, size=5)
    slope = rng.uniform(0.4, 1.6)
    frames, voiced = [], []
    for _ in range(syllables):
        for envelope, voice in (_consonant(rng), _vowel(rng, mouth=mouth, widths_hz=widths, slope=slope)):
            frames.append(envelope)
            voiced.append(voice)
    smooth = np.hanning(9) / np.hanning(9).sum()
    envelope = np.concatenate(frames)
    envelope = np.apply_along_axis(lambda column: np.convolve(column, smooth, "same"), 0, envelope)
    return Voiceprint(
        envelope.astype(np.float32), np.convolve(np.concatenate(voiced), smooth, "same").astype(np.float32)
    )


def _vowel(
    rng: np.random.Generator, *, mouth: float, widths_hz: NDArray[np.floating], slope: float
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    length = int(rng.uniform(0.09, 0.3) * SAMPLE_RATE_HZ / HOP)
    ends = VOWELS_HZ[rng.integers(len(VOWELS_HZ), size=2)] * mouth
    way = np.linspace(0, 1, length)[:, None]
    low = ends[0] * (1 - way) + ends[1] * way if rng.random() < 0.4 else np.repeat(ends[:1], length, 0)
    high = np.repeat([[3500 * mouth, 4500 * mouth]], length, 0)
    centres = np.concatenate([low, high], 1)
    offsets = (_FREQUENCIES_HZ[None, None] - centres[:, :, None]) / (widths_hz[None, :, None] * 1.5)
    peaks = (1 / (1 + offsets**2)).sum(1) + 0.01
    return np.log(peaks) - slope * np.log2(1 + _FREQUENCIES_HZ / 500), np.ones(length)


def _consonant(rng: np.random.Generator) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """A hiss, a stop, a hum through the nose, or nothing."""
    kind = rng.choice(["hiss", "stop", "hum", "none"])
    length = int(rng.uniform(0.02, 0.14) * SAMPLE_RATE_HZ / HOP)
    if kind == "hiss":
        centre = rng.uniform(2500, 9000)
        shape = -3.5 + 1.5 * np.exp(-(((_FREQUENCIES_HZ - centre) / 3000) ** 2))
    elif kind == "hum":
        shape = -0.5 - 1.5 * np.log2(1 + _FREQUENCIES_HZ / 250)
    else:
        shape = np.full(BINS, -9.0 if kind == "stop" else -6.0)
    return np.repeat(shape[None], length, 0), np.full(length, 1.0 if kind == "hum" else 0.0)
