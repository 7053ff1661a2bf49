"""A DSP baseline: median filters for drums, a low-pass for bass, the stereo centre for vocals."""

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
    """Split `[2, samples]` into `[4, 2, samples]`, which sum to the mixture (HPSS, Fitzgerald 2010)."""
    spectrum = signal.stft(mixture, nperseg=_FFT, noverlap=_FFT - _HOP)[2]
    masks = _masks(spectrum)
    waves = signal.istft(masks[:, None] * spectrum, nperseg=_FFT, noverlap=_FFT - _HOP)[1]
    stems: NDArray[np.float32] = waves[..., : mixture.shape[1]].astype(np.float32)
    return stems


def _masks(spectrum: NDArray[np.complexfloating]) -> NDArray[np.floating]:
    """Return masks `[4, bins, frames]` for drums, bass, other and vocals."""
    power = (np.abs(spectrum) ** 2).sum(0)
    harmonic = ndimage.median_filter(power, (1, _MEDIAN_FRAMES))
    percussive = ndimage.median_filter(power, (_MEDIAN_BINS, 1))
    drums = percussive / (harmonic + percussive + _TINY)
    low = (np.arange(len(power)) * SAMPLE_RATE_HZ / _FFT < _BASS_TOP_HZ)[:, None]
    centre = _centre_mask(spectrum)
    tonal = 1 - drums
    return np.stack([drums, tonal * low, tonal * ~low * (1 - centre), tonal * ~low * centre])


def _centre_mask(spectrum: NDArray[np.complexfloating]) -> NDArray[np.floating]:
    """Return 1 where both channels are equal, and 0 where they differ or one is silent."""
    left, right = spectrum
    likeness = 2 * np.abs(left * right.conj()) / (np.abs(left) ** 2 + np.abs(right) ** 2 + _TINY)
    return np.asarray(np.clip((likeness - 0.9) / 0.1, 0, 1))
