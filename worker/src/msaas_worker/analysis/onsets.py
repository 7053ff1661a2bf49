"""Onset strength of the drums: the growth of the spectrum in three ranges, 86 times a second."""

import numpy as np
from numpy.typing import NDArray

from msaas_worker.analysis.windows import Decimator, Windows
from msaas_worker.audio.decoded import SAMPLERATE, Audio

#: The drums are decimated to 22 kHz.
_DECIMATION, _TAPS = 2, 16
_RATE = SAMPLERATE / _DECIMATION
_WINDOW, _HOP = 512, 256
#: Frames a second.
FRAME_RATE = _RATE / _HOP
#: Bands of a third of an octave.
_BANDS_HZ = np.geomspace(40, 10_000, 25)
#: Bass drums are in the first range, snares in the second, cymbals in the third.
_RANGES_HZ = (0, 160, 4000, SAMPLERATE)
RANGES = len(_RANGES_HZ) - 1
_COMPRESSION = np.float32(100)


class OnsetMeter:
    """Measures the drums as they come. Three numbers are kept for each frame."""

    def __init__(self) -> None:
        self._decimator = Decimator(_DECIMATION, taps=_TAPS)
        self._windows = Windows(size=_WINDOW, hop=_HOP, before=_WINDOW // 2)
        self._last = np.zeros((1, len(_BANDS_HZ) - 1), np.float32)
        self._strengths: list[NDArray[np.float32]] = []
        self._samples = 0

    def feed(self, drums: Audio) -> None:
        """Add samples `[2, n]`."""
        self._samples += drums.shape[-1]
        self._add(self._windows.feed(self._decimator.feed(drums[0] + drums[1])))

    def finish(self) -> NDArray[np.float32]:
        """Return the strengths `[frames, ranges]` of the song. Frame `i` is at `i / FRAME_RATE` seconds."""
        self._add(self._windows.flush())
        return np.concatenate(self._strengths)[: self._samples // (_DECIMATION * _HOP)]

    def _add(self, windows: NDArray[np.float32]) -> None:
        if not len(windows):
            return
        spectrum = np.abs(np.fft.rfft(windows * _HANN))
        bands = np.log1p(_COMPRESSION * (spectrum @ _FILTERS))
        growth = np.maximum(np.diff(np.concatenate([self._last, bands]), axis=0), 0)
        self._last = bands[-1:]
        self._strengths.append(growth @ _GROUPS)


def _filters() -> NDArray[np.float32]:
    """Return which bins `[bins, bands]` each band averages. Each has one bin at least."""
    bins = np.fft.rfftfreq(_WINDOW, 1 / _RATE)
    low, high = _BANDS_HZ[:-1], _BANDS_HZ[1:]
    member = (bins[:, None] >= low) & (bins[:, None] < high)
    for band in np.flatnonzero(~member.any(axis=0)):
        member[np.abs(bins - (low[band] + high[band]) / 2).argmin(), band] = True
    scale = 1 / _HANN.sum()
    found: NDArray[np.float32] = (scale * member / member.sum(axis=0)).astype(np.float32)
    return found


def _groups() -> NDArray[np.float32]:
    """Return which bands `[bands, ranges]` each range averages."""
    centres = np.sqrt(_BANDS_HZ[:-1] * _BANDS_HZ[1:])
    member = (centres[:, None] >= _RANGES_HZ[:-1]) & (centres[:, None] < _RANGES_HZ[1:])
    found: NDArray[np.float32] = (member / member.sum(axis=0)).astype(np.float32)
    return found


_HANN = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)
_FILTERS = _filters()
_GROUPS = _groups()
