"""What can be had without a model: median filters for drums, a low pass for bass, the centre for vocals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

from msaas_training.notes import SAMPLE_RATE_HZ

_FFT, _HOP = 4096, 1024
_MEDIAN_FRAMES = 17
_MEDIAN_BINS = 31
_BASS_TOP_HZ = 250.0
_TINY = 1e-9


def split(mixture: NDArray[np.float32]) -> NDArray[np.float32]:
    """`[2, samples]` to `[4, 2, samples]`; the four sum to the mixture (HPSS: Fitzgerald 2010)."""
    spectrum = signal.stft(mixture, nperseg=_FFT, noverlap=_FFT - _HOP)[2]
    masks = _masks(spectrum)
    waves = signal.istft(masks[:, None] * spectrum, nperseg=_FFT, noverlap=_FFT - _HOP)[1]
    return waves[..., : mixture.shape[1]].astype(np.float32)


def _masks(spectrum: NDArray[np.complexfloating]) -> NDArray[np.floating]:
    """`[4, bins, frames]` in the order drums, bass, other, vocals."""
    power = (np.abs(spectrum) ** 2).sum(0)
    harmonic = ndimage.median_filter(power, (1, _MEDIAN_FRAMES))
    percussive = ndimage.median_filter(power, (_MEDIAN_BINS, 1))
    drums = percussive / (harmonic + percussive + _TINY)
    low = (np.arange(len(power)) * SAMPLE_RATE_HZ / _FFT < _BASS_TOP_HZ)[:, None]
    centre = _centred(spectrum)
    tonal = 1 - drums
    return np.stack([drums, tonal * low, tonal * ~low * (1 - centre), tonal * ~low * centre])


def _centred(spectrum: NDArray[np.complexfloating]) -> NDArray[np.floating]:
    """1 where both sides agree, 0 where one is silent or they differ."""
    left, right = spectrum
    likeness = 2 * np.abs(left * right.conj()) / (np.abs(left) ** 2 + np.abs(right) ** 2 + _TINY)
    return np.asarray(np.clip((likeness - 0.9) / 0.1, 0, 1))
