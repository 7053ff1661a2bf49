"""A body makes one singer of another: formants moved along a bent axis, and a colour that stays.

Vocal tract length perturbation (Jaitly and Hinton 2013), here for who is heard.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from msaas_training.notes import SAMPLE_RATE_HZ
from msaas_training.psola import varispeed
from msaas_training.speech import Mono
from msaas_training.voiceprint import BINS, FFT, Voiceprint

#: Where both curves are drawn, evenly spaced in octaves; between them they are straight.
_KNOTS_HZ = 120.0 * 2.0 ** np.arange(8)
#: From a giant's to a child's.
_SIZES = (0.78, 1.4)
_BEND_OCTAVES = 0.1
_COLOUR_DB = 4.0
_FREQUENCIES_HZ = np.arange(BINS) * SAMPLE_RATE_HZ / FFT
_NEPER_DB = 20 / np.log(10)


@dataclass(frozen=True)
class Body:
    """`size` times every formant (above 1 is a smaller mouth), then `bend` in octaves and `colour` in dB.

    The last two are `[knots]`, from 120 Hz upwards, an octave apart.
    """

    size: float
    bend: NDArray[np.floating]
    colour: NDArray[np.floating]

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Body:
        size = float(np.exp(rng.uniform(*np.log(_SIZES))))
        bend, colour = rng.normal(0, 1, (2, _KNOTS_HZ.size))
        return cls(size=size, bend=_BEND_OCTAVES * bend, colour=_COLOUR_DB * colour)

    def around(self, mouth: Voiceprint) -> Voiceprint:
        """The voiceprint of that mouth in this body."""
        origin = _FREQUENCIES_HZ / (self.size * 2 ** _at(_FREQUENCIES_HZ, self.bend))
        bins = np.clip(origin * FFT / SAMPLE_RATE_HZ, 0, BINS - 1).astype(int)
        tone = (_at(_FREQUENCIES_HZ, self.colour) / _NEPER_DB).astype(np.float32)
        return replace(mouth, envelope=mouth.envelope[:, bins] + tone)

    def of(self, speech: Mono) -> Mono:
        """Speech itself in this body: `size` times as fast and as high. Its axis cannot be bent."""
        moved = varispeed(speech, ratio=self.size)
        spectrum = np.fft.rfft(moved)
        tone_db = _at(np.fft.rfftfreq(moved.size, 1 / SAMPLE_RATE_HZ), self.colour)
        return np.fft.irfft(spectrum * 10 ** (tone_db / 20), moved.size).astype(np.float32)


def _at(frequencies_hz: NDArray[np.floating], values: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.interp(np.log2(frequencies_hz + 1.0), np.log2(_KNOTS_HZ), values)
