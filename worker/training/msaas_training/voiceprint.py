"""A voiceprint is what a mouth does over time: a spectral envelope and how voiced each frame is."""

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
class Voiceprint:
    """`envelope` is `[frames, BINS]` in natural log of magnitude, `voiced` is `[frames]` from 0 to 1."""

    envelope: NDArray[np.float32]
    voiced: NDArray[np.float32]

    @property
    def frames(self) -> int:
        return len(self.voiced)

    def at(self, places: NDArray[np.floating]) -> Voiceprint:
        """The print read at fractional frames, which stretches it in time."""
        low = np.clip(places.astype(int), 0, self.frames - 1)
        high, mix = np.minimum(low + 1, self.frames - 1), (places - low).clip(0, 1).astype(np.float32)
        envelope = self.envelope[low] * (1 - mix[:, None]) + self.envelope[high] * mix[:, None]
        return Voiceprint(envelope, self.voiced[low] * (1 - mix) + self.voiced[high] * mix)

    def shifted(self, *, ratio: float) -> Voiceprint:
        """Formants moved by a ratio: above 1 is a smaller mouth."""
        source = np.clip(np.arange(BINS) / ratio, 0, BINS - 1).astype(int)
        return Voiceprint(self.envelope[:, source], self.voiced)

    def mixed(self, other: Voiceprint, *, share: float) -> Voiceprint:
        """Somebody between the two, `share` of whom is the other, with the timing of the first."""
        theirs = other.at(np.linspace(0, other.frames - 1, self.frames)).envelope
        return Voiceprint((1 - share) * self.envelope + share * theirs, self.voiced)


def analysed(speech: Mono, *, rng: np.random.Generator) -> Voiceprint:
    """Cepstrally smoothed envelope of recorded speech; the octaves above its band are extrapolated."""
    spectrum = stft(speech)
    log = np.log(np.abs(spectrum) + 1e-5)
    envelope = _smoothed(log)
    for _ in range(3):  # The true envelope: what sticks out is put back, and smoothed again.
        envelope = _smoothed(np.maximum(log, envelope))
    return Voiceprint(_with_air(envelope, rng=rng), voicing(spectrum))


def stft(samples: Mono) -> NDArray[np.complex64]:
    padded = np.pad(samples, (FFT // 2, FFT))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP]
    return np.fft.rfft(frames * np.hanning(FFT).astype(np.float32), axis=1).astype(np.complex64)


def istft(spectrum: NDArray[np.complexfloating], *, samples: int) -> Mono:
    """Overlap-add with Hann windows at both ends; their squares add up to 1.5 at a hop of a quarter."""
    frames = np.fft.irfft(spectrum, axis=1) * np.hanning(FFT) / 1.5
    out = np.zeros((len(frames) + 3, HOP))
    for quarter in range(FFT // HOP):
        out[quarter : quarter + len(frames)] += frames[:, quarter * HOP : (quarter + 1) * HOP]
    return out.reshape(-1)[FFT // 2 :][:samples].astype(np.float32)


def voicing(spectrum: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Peak of the autocorrelation between 70 and 400 Hz, as a share of the power."""
    correlation = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)
    lags = correlation[:, SAMPLE_RATE_HZ // 400 : FFT // 2]
    share = lags.max(1) / (correlation[:, 0] + 1e-6)
    return np.clip((share - 0.25) / 0.35, 0, 1).astype(np.float32)


def _smoothed(log: NDArray[np.floating]) -> NDArray[np.float32]:
    cepstrum = np.fft.irfft(log, axis=1)
    keep = int(_LIFTER_S * SAMPLE_RATE_HZ)
    cepstrum[:, keep : FFT - keep + 1] = 0
    return np.fft.rfft(cepstrum, axis=1).real.astype(np.float32)


def _with_air(envelope: NDArray[np.float32], *, rng: np.random.Generator) -> NDArray[np.float32]:
    top = int(_SPEECH_TOP_HZ * FFT / SAMPLE_RATE_HZ)
    edge = envelope[:, top - 20 : top].mean(1, keepdims=True)
    octaves = np.log2(np.arange(top, BINS) / top).astype(np.float32)
    out = envelope.copy()
    out[:, top:] = edge - rng.uniform(0.6, 2.5) * octaves
    return out
