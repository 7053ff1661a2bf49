"""Formant synthesis: vocal envelopes without a recorded speaker."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from msaas_training.notes import SAMPLE_RATE_HZ
from msaas_training.vocal_envelope import BINS, FFT, HOP, VocalEnvelope

#: Three formants in Hz of eleven vowels (averages of published tables).
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
_HIGH_HZ = np.array([3500.0, 4500.0])
_FREQUENCIES_HZ = np.arange(BINS) * SAMPLE_RATE_HZ / FFT
#: Log magnitudes `[frames, BINS]` and voicing `[frames]`.
Segment = tuple[NDArray[np.floating], NDArray[np.floating]]


@dataclass(frozen=True, kw_only=True)
class VocalTract:
    """Formant frequencies and spectral slope of a synthetic speaker."""

    #: The vowels' formants `[vowels, 3]`, and two higher formants that all vowels share.
    vowels_hz: NDArray[np.floating]
    high_hz: NDArray[np.floating]
    #: Half bandwidths of the five formants.
    widths_hz: NDArray[np.floating]
    #: Attenuation in nepers per octave above 500 Hz.
    slope: float
    #: Magnitude between the formants, relative to their peaks.
    floor: float = 0.01

    @classmethod
    def draw(cls, rng: np.random.Generator) -> VocalTract:
        """Draw a vocal tract in the human range."""
        size, widths = rng.uniform(0.82, 1.3), rng.uniform(60, 160, size=5)
        return cls(
            vowels_hz=VOWELS_HZ * size,
            high_hz=_HIGH_HZ * size,
            widths_hz=widths * 1.5,
            slope=float(rng.uniform(0.4, 1.6)),
        )

    @classmethod
    def draw_extended(cls, rng: np.random.Generator) -> VocalTract:
        """Draw a vocal tract from a wider range, from a nearly pure hum to a reed-like sound."""
        size, spread = np.exp(rng.uniform(np.log(0.78), np.log(1.4))), np.exp(rng.normal(0, 0.12, 3))
        return cls(
            vowels_hz=VOWELS_HZ * size * spread,
            high_hz=_HIGH_HZ * size * np.exp(rng.normal(0, 0.1, 2)),
            widths_hz=np.exp(rng.uniform(np.log(50), np.log(350), 5)),
            slope=float(rng.uniform(0.1, 2.6)),
            floor=float(np.exp(rng.uniform(np.log(0.001), np.log(0.08)))),
        )


def draw_envelope(rng: np.random.Generator, *, syllables: int) -> VocalEnvelope:
    """Draw random syllables of a random vocal tract, about five a second."""
    return _join(_draw_syllables(rng, count=syllables, tract=VocalTract.draw(rng)))


def draw_phrase(rng: np.random.Generator, *, syllables: int, tract: VocalTract) -> VocalEnvelope:
    """Draw a phrase of a given vocal tract. Half of the phrases have few vowels and no consonants."""
    if rng.random() < 0.5:
        return _join([_draw_vowel(rng, tract=tract) for _ in range(1 + syllables // 3)])
    return _join(_draw_syllables(rng, count=syllables, tract=tract))


def _draw_syllables(rng: np.random.Generator, *, count: int, tract: VocalTract) -> list[Segment]:
    return [
        segment for _ in range(count) for segment in (_draw_consonant(rng), _draw_vowel(rng, tract=tract))
    ]


def _join(segments: list[Segment]) -> VocalEnvelope:
    """Concatenate segments with smoothed transitions."""
    smooth = np.hanning(9) / np.hanning(9).sum()
    envelope, voiced = (np.concatenate(parts) for parts in zip(*segments, strict=True))
    envelope = np.apply_along_axis(lambda column: np.convolve(column, smooth, "same"), 0, envelope)
    return VocalEnvelope(envelope.astype(np.float32), np.convolve(voiced, smooth, "same").astype(np.float32))


def _draw_vowel(rng: np.random.Generator, *, tract: VocalTract) -> Segment:
    length = int(rng.uniform(0.09, 0.3) * SAMPLE_RATE_HZ / HOP)
    ends = tract.vowels_hz[rng.integers(len(VOWELS_HZ), size=2)]
    glide = np.linspace(0, 1, length)[:, None]
    low = ends[0] * (1 - glide) + ends[1] * glide if rng.random() < 0.4 else np.repeat(ends[:1], length, 0)
    centres = np.concatenate([low, np.repeat(tract.high_hz[None], length, 0)], 1)
    offsets = (_FREQUENCIES_HZ[None, None] - centres[:, :, None]) / tract.widths_hz[None, :, None]
    peaks = (1 / (1 + offsets**2)).sum(1) + tract.floor
    return np.log(peaks) - tract.slope * np.log2(1 + _FREQUENCIES_HZ / 500), np.ones(length)


def _draw_consonant(rng: np.random.Generator) -> Segment:
    """Draw a fricative, a stop, a nasal or a pause."""
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
