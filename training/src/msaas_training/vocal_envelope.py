"""Vocal envelopes: the spectral envelope and voicing of a phrase, estimated from speech."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from msaas_training.notes import SAMPLE_RATE_HZ
from msaas_training.speech import Mono

HOP = 256
FFT = 1024
BINS = FFT // 2 + 1
_LIFTER_S = 0.0018
_SPEECH_TOP_HZ = 7000.0


@dataclass(frozen=True)
class VocalEnvelope:
    """Natural log magnitudes `[frames, BINS]` and voicing `[frames]` from 0 (noise) to 1 (voiced)."""

    log_magnitude: NDArray[np.float32]
    voicing: NDArray[np.float32]

    @property
    def frames(self) -> int:
        return len(self.voicing)

    def read_at(self, positions: NDArray[np.floating]) -> VocalEnvelope:
        """Interpolate at fractional frame positions. This stretches the phrase in time."""
        low = np.clip(positions.astype(int), 0, self.frames - 1)
        high, mix = np.minimum(low + 1, self.frames - 1), (positions - low).clip(0, 1).astype(np.float32)
        envelope = self.log_magnitude[low] * (1 - mix[:, None]) + self.log_magnitude[high] * mix[:, None]
        return VocalEnvelope(envelope, self.voicing[low] * (1 - mix) + self.voicing[high] * mix)

    def shift_formants(self, *, ratio: float) -> VocalEnvelope:
        """Scale all formant frequencies. A ratio above 1 is a shorter vocal tract."""
        source = np.clip(np.arange(BINS) / ratio, 0, BINS - 1).astype(int)
        return VocalEnvelope(self.log_magnitude[:, source], self.voicing)

    def interpolate(self, other: VocalEnvelope, *, share: float) -> VocalEnvelope:
        """Mix with another speaker's envelope, with the timing and voicing of this one."""
        theirs = other.read_at(np.linspace(0, other.frames - 1, self.frames)).log_magnitude
        return VocalEnvelope((1 - share) * self.log_magnitude + share * theirs, self.voicing)


def analyse_speech(speech: Mono, *, rng: np.random.Generator) -> VocalEnvelope:
    """Estimate the envelope of speech. Frequencies above the band of the speech are extrapolated."""
    spectrum = stft(speech)
    log = np.log(np.abs(spectrum) + 1e-5)
    envelope = _smooth(log)
    for _ in range(3):  # True envelope: peaks above the envelope are kept and smoothed again.
        envelope = _smooth(np.maximum(log, envelope))
    return VocalEnvelope(_extrapolate_highs(envelope, rng=rng), estimate_voicing(spectrum))


def stft(samples: Mono) -> NDArray[np.complex64]:
    padded = np.pad(samples, (FFT // 2, FFT))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP]
    return np.fft.rfft(frames * np.hanning(FFT).astype(np.float32), axis=1).astype(np.complex64)


def istft(spectrum: NDArray[np.complexfloating], *, samples: int) -> Mono:
    """Invert `stft` by overlap-add. Squared Hann windows at a hop of a quarter sum to 1.5."""
    frames = np.fft.irfft(spectrum, axis=1) * np.hanning(FFT) / 1.5
    out = np.zeros((len(frames) + 3, HOP))
    for quarter in range(FFT // HOP):
        out[quarter : quarter + len(frames)] += frames[:, quarter * HOP : (quarter + 1) * HOP]
    return out.reshape(-1)[FFT // 2 :][:samples].astype(np.float32)


def estimate_voicing(spectrum: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Return the autocorrelation peak between 70 and 400 Hz relative to the power, mapped to 0 to 1."""
    correlation = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)
    lags = correlation[:, SAMPLE_RATE_HZ // 400 : FFT // 2]
    share = lags.max(1) / (correlation[:, 0] + 1e-6)
    voicing: NDArray[np.float32] = np.clip((share - 0.25) / 0.35, 0, 1).astype(np.float32)
    return voicing


def _smooth(log: NDArray[np.floating]) -> NDArray[np.float32]:
    cepstrum = np.fft.irfft(log, axis=1)
    keep = int(_LIFTER_S * SAMPLE_RATE_HZ)
    cepstrum[:, keep : FFT - keep + 1] = 0
    return np.fft.rfft(cepstrum, axis=1).real.astype(np.float32)


def _extrapolate_highs(envelope: NDArray[np.float32], *, rng: np.random.Generator) -> NDArray[np.float32]:
    top = int(_SPEECH_TOP_HZ * FFT / SAMPLE_RATE_HZ)
    edge = envelope[:, top - 20 : top].mean(1, keepdims=True)
    octaves = np.log2(np.arange(top, BINS) / top).astype(np.float32)
    out = envelope.copy()
    out[:, top:] = edge - rng.uniform(0.6, 2.5) * octaves
    return out
