"""Voice transforms: shift formants along a warped frequency axis and apply an equaliser.

This is vocal tract length perturbation (Jaitly and Hinton 2013), used here on synthetic singers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from msaas_training.notes import SAMPLE_RATE_HZ
from msaas_training.psola import change_speed
from msaas_training.speech import Mono
from msaas_training.vocal_envelope import BINS, FFT, VocalEnvelope

#: Knots of both curves, one octave apart, with linear interpolation between them.
_KNOTS_HZ = 120.0 * 2.0 ** np.arange(8)
#: From a longer to a shorter vocal tract than usual.
_FORMANT_RATIOS = (0.78, 1.4)
_WARP_SPREAD_OCTAVES = 0.1
_EQ_SPREAD_DB = 4.0
_FREQUENCIES_HZ = np.arange(BINS) * SAMPLE_RATE_HZ / FFT
_NEPER_DB = 20 / np.log(10)


@dataclass(frozen=True)
class VoiceTransform:
    """Scales formants by `formant_ratio` (above 1 is a shorter vocal tract), warps the axis and equalises.

    `warp_octaves` and `eq_db` are curves `[knots]`. The knots start at 120 Hz and are one octave apart.
    """

    formant_ratio: float
    warp_octaves: NDArray[np.floating]
    eq_db: NDArray[np.floating]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> VoiceTransform:
        formant_ratio = float(np.exp(rng.uniform(*np.log(_FORMANT_RATIOS))))
        warp_octaves, eq_db = rng.normal(0, 1, (2, _KNOTS_HZ.size))
        return cls(
            formant_ratio=formant_ratio,
            warp_octaves=_WARP_SPREAD_OCTAVES * warp_octaves,
            eq_db=_EQ_SPREAD_DB * eq_db,
        )

    def apply_to_envelope(self, voice: VocalEnvelope) -> VocalEnvelope:
        """Return the transformed envelope."""
        origin = _FREQUENCIES_HZ / (
            self.formant_ratio * 2 ** _interpolate_knots(_FREQUENCIES_HZ, self.warp_octaves)
        )
        bins = np.clip(origin * FFT / SAMPLE_RATE_HZ, 0, BINS - 1).astype(int)
        gain = (_interpolate_knots(_FREQUENCIES_HZ, self.eq_db) / _NEPER_DB).astype(np.float32)
        return replace(voice, log_magnitude=voice.log_magnitude[:, bins] + gain)

    def apply_to_speech(self, speech: Mono) -> Mono:
        """Resample speech by `formant_ratio` and equalise it. The frequency warp is not applied."""
        resampled = change_speed(speech, ratio=self.formant_ratio)
        spectrum = np.fft.rfft(resampled)
        gain_db = _interpolate_knots(np.fft.rfftfreq(resampled.size, 1 / SAMPLE_RATE_HZ), self.eq_db)
        return np.fft.irfft(spectrum * 10 ** (gain_db / 20), resampled.size).astype(np.float32)


def _interpolate_knots(
    frequencies_hz: NDArray[np.floating], values: NDArray[np.floating]
) -> NDArray[np.floating]:
    return np.asarray(np.interp(np.log2(frequencies_hz + 1.0), np.log2(_KNOTS_HZ), values))
