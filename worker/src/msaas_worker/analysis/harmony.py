"""Pitches of the harmonic stems: a histogram of spectral peaks over one octave, and chroma over time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from msaas_worker.analysis.windows import Decimator, Windows
from msaas_worker.audio.decoded import SAMPLERATE, Audio

#: The stems are decimated to 5.5 kHz.
_DECIMATION, _TAPS = 8, 64
_RATE = SAMPLERATE / _DECIMATION
#: Windows of 0.74 s tell semitones apart from 55 Hz on.
_WINDOW = 4096
_HOP = 2048
CHROMA_HOP_S = _HOP / _RATE
_LOWEST_HZ, _HIGHEST_HZ = 55.0, 1760.0
_A4_HZ, _A4 = 440.0, 69
#: Of a semitone.
_STEPS = 20
_BINS = 12 * _STEPS


@dataclass(frozen=True)
class Pitches:
    """`classes` has the weights of the 12 pitch classes from C on, in the tuning of the song.

    `chroma` has them as `[frames, 12]`, without tuning. Frame `i` is centred on `i * CHROMA_HOP_S`.
    """

    classes: NDArray[np.float64]
    chroma: NDArray[np.float32]


class PitchMeter:
    """Measures the sum of the harmonic stems as it comes. For a second, 32 numbers are kept."""

    def __init__(self) -> None:
        self._decimator = Decimator(_DECIMATION, taps=_TAPS)
        self._windows = Windows(size=_WINDOW, hop=_HOP, before=_WINDOW // 2)
        self._histogram = np.zeros(_BINS)
        self._chroma: list[NDArray[np.float32]] = []

    def feed(self, harmony: Audio) -> None:
        """Add samples `[2, n]`."""
        self._add(self._windows.feed(self._decimator.feed(harmony[0] + harmony[1])))

    def finish(self) -> Pitches:
        self._add(self._windows.flush())
        return Pitches(fold(self._histogram), np.concatenate([np.zeros((0, 12), np.float32), *self._chroma]))

    def _add(self, windows: NDArray[np.float32]) -> None:
        if not len(windows):
            return
        spectrum = np.abs(np.fft.rfft(windows * _HANN)).astype(np.float32)
        frame, bin_ = np.nonzero(_is_peak(spectrum))
        bin_ += _FIRST_BIN
        weight = np.sqrt(spectrum[frame, bin_])
        pitch = _pitch_of(bin_ + _offset(spectrum, frame, bin_))
        np.add.at(self._histogram, np.floor(pitch * _STEPS).astype(np.int64) % _BINS, weight)
        chroma = np.zeros((len(windows), 12), np.float32)
        np.add.at(chroma, (frame, np.round(pitch).astype(np.int64) % 12), weight)
        self._chroma.append(chroma)


def fold(histogram: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the 12 pitch classes of a histogram of an octave, tuned so that peaks are in their middle."""
    angle = 2 * np.pi * (np.arange(_BINS) + 0.5) / _STEPS
    tuning = np.angle((histogram * np.exp(1j * angle)).sum()) / (2 * np.pi)
    shift = round(float(tuning) * _STEPS) - _STEPS // 2
    classes: NDArray[np.float64] = np.roll(histogram, -shift).reshape(12, _STEPS).sum(axis=1)
    return classes


def _is_peak(spectrum: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the local maxima within the range and within 50 dB of the loudest of their frame."""
    inner = spectrum[:, _FIRST_BIN : _LAST_BIN + 1]
    before, after = spectrum[:, _FIRST_BIN - 1 : _LAST_BIN], spectrum[:, _FIRST_BIN + 1 : _LAST_BIN + 2]
    floor = np.maximum(inner.max(axis=1, keepdims=True) * np.float32(0.003), np.float32(1e-3))
    found: NDArray[np.bool_] = (inner > before) & (inner >= after) & (inner > floor)
    return found


def _offset(
    spectrum: NDArray[np.float32], frame: NDArray[np.intp], bin_: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Return how far beside its bin a peak is, by a parabola through the logarithms."""
    before, peak, after = (np.log(spectrum[frame, bin_ + step] + 1e-9) for step in (-1, 0, 1))
    found: NDArray[np.float32] = np.clip(
        0.5 * (before - after) / (before - 2 * peak + after - 1e-9), -0.5, 0.5
    )
    return found


def _pitch_of(bin_: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return MIDI pitches. 60 is a C."""
    found: NDArray[np.floating] = _A4 + 12 * np.log2(bin_ * (_RATE / _WINDOW) / _A4_HZ)
    return found


_FIRST_BIN = round(_LOWEST_HZ * _WINDOW / _RATE)
_LAST_BIN = round(_HIGHEST_HZ * _WINDOW / _RATE)
_HANN = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)
