"""A mouth that no engine recorded: vowels as resonances, consonants as bursts of noise."""

from __future__ import annotations

from dataclasses import dataclass

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
_HIGH_HZ = np.array([3500.0, 4500.0])
_FREQUENCIES_HZ = np.arange(BINS) * SAMPLE_RATE_HZ / FFT
#: Envelopes of some frames, and how voiced each is.
Sound = tuple[NDArray[np.floating], NDArray[np.floating]]


@dataclass(frozen=True)
class Mouth:
    """What all vowels of a mouth share."""

    #: Formants, `[vowels, 3]`, and two more that no vowel moves.
    vowels_hz: NDArray[np.floating]
    high_hz: NDArray[np.floating]
    #: Half widths of the five.
    widths_hz: NDArray[np.floating]
    #: By how much it darkens, nepers an octave above 500 Hz.
    slope: float
    #: The magnitude between the formants, whose own is 1.
    floor: float = 0.01

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Mouth:
        """A mouth as people have them."""
        size, widths = rng.uniform(0.82, 1.3), rng.uniform(60, 160, size=5)
        return cls(
            vowels_hz=VOWELS_HZ * size,
            high_hz=_HIGH_HZ * size,
            widths_hz=widths * 1.5,
            slope=float(rng.uniform(0.4, 1.6)),
        )

    @classmethod
    def imagined(cls, rng: np.random.Generator) -> Mouth:
        """A mouth as nobody needs to have it: from a hum, nearly pure, to a reed."""
        size, bend = np.exp(rng.uniform(np.log(0.78), np.log(1.4))), np.exp(rng.normal(0, 0.12, 3))
        return cls(
            vowels_hz=VOWELS_HZ * size * bend,
            high_hz=_HIGH_HZ * size * np.exp(rng.normal(0, 0.1, 2)),
            widths_hz=np.exp(rng.uniform(np.log(50), np.log(350), 5)),
            slope=float(rng.uniform(0.1, 2.6)),
            floor=float(np.exp(rng.uniform(np.log(0.001), np.log(0.08)))),
        )


def drawn(rng: np.random.Generator, *, syllables: int) -> Voiceprint:
    """Random syllables of one random mouth, about five a second."""
    return _joined(_syllables(rng, count=syllables, mouth=Mouth.drawn(rng)))


def imagined(rng: np.random.Generator, *, syllables: int, mouth: Mouth) -> Voiceprint:
    """As `drawn`, of a given mouth; half of the phrases hold few vowels and no consonant."""
    if rng.random() < 0.5:
        return _joined([_vowel(rng, mouth=mouth) for _ in range(1 + syllables // 3)])
    return _joined(_syllables(rng, count=syllables, mouth=mouth))


def _syllables(rng: np.random.Generator, *, count: int, mouth: Mouth) -> list[Sound]:
    return [sound for _ in range(count) for sound in (_consonant(rng), _vowel(rng, mouth=mouth))]


def _joined(sounds: list[Sound]) -> Voiceprint:
    smooth = np.hanning(9) / np.hanning(9).sum()
    envelope, voiced = (np.concatenate(parts) for parts in zip(*sounds, strict=True))
    envelope = np.apply_along_axis(lambda column: np.convolve(column, smooth, "same"), 0, envelope)
    return Voiceprint(envelope.astype(np.float32), np.convolve(voiced, smooth, "same").astype(np.float32))


def _vowel(rng: np.random.Generator, *, mouth: Mouth) -> Sound:
    length = int(rng.uniform(0.09, 0.3) * SAMPLE_RATE_HZ / HOP)
    ends = mouth.vowels_hz[rng.integers(len(VOWELS_HZ), size=2)]
    way = np.linspace(0, 1, length)[:, None]
    low = ends[0] * (1 - way) + ends[1] * way if rng.random() < 0.4 else np.repeat(ends[:1], length, 0)
    centres = np.concatenate([low, np.repeat(mouth.high_hz[None], length, 0)], 1)
    offsets = (_FREQUENCIES_HZ[None, None] - centres[:, :, None]) / mouth.widths_hz[None, :, None]
    peaks = (1 / (1 + offsets**2)).sum(1) + mouth.floor
    return np.log(peaks) - mouth.slope * np.log2(1 + _FREQUENCIES_HZ / 500), np.ones(length)


def _consonant(rng: np.random.Generator) -> Sound:
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
