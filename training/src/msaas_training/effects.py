"""Audio effects: reverb, echo, saturation, filters, panning and level."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from msaas_training.notes import SAMPLE_RATE_HZ

#: `[2, samples]`, float32.
Audio = NDArray[np.float32]


def add_reverb(audio: Audio, *, rng: np.random.Generator, decay_s: float, wet: float) -> Audio:
    """Convolve with decaying low-passed noise. The channels are independent."""
    length = int(decay_s * SAMPLE_RATE_HZ * 1.2)
    time = np.arange(length) / SAMPLE_RATE_HZ
    tail: NDArray[np.floating] = rng.standard_normal((2, length)) * np.exp(-6.9 * time / decay_s)
    tail = low_pass(tail, cutoff_hz=float(rng.uniform(1500, 9000)))
    tail[:, : int(rng.uniform(0, 0.03) * SAMPLE_RATE_HZ)] = 0
    tail /= np.sqrt((tail**2).sum(1, keepdims=True)) + 1e-9
    wet_signal = signal.fftconvolve(audio, tail, axes=1)[:, : audio.shape[1]]
    out: Audio = (audio + wet * wet_signal).astype(np.float32)
    return out


def add_echo(audio: Audio, *, delay_s: float, feedback: float, wet: float) -> Audio:
    out, step = audio.copy(), max(1, int(delay_s * SAMPLE_RATE_HZ))
    for repeat in range(1, 5):
        if repeat * step >= audio.shape[1]:
            break
        sides = audio[::-1] if repeat % 2 else audio
        out[:, repeat * step :] += wet * feedback ** (repeat - 1) * sides[:, : -repeat * step]
    return out


def saturate(audio: Audio, *, gain_db: float) -> Audio:
    gain = 10 ** (gain_db / 20) / (np.abs(audio).max() + 1e-9)
    out: Audio = np.tanh(audio * gain).astype(np.float32)
    return out


def low_pass(audio: NDArray[np.floating], *, cutoff_hz: float) -> NDArray[np.floating]:
    """Apply a one-pole low-pass filter along the last axis."""
    keep = float(np.exp(-2 * np.pi * cutoff_hz / SAMPLE_RATE_HZ))
    return np.asarray(signal.lfilter([1 - keep], [1, -keep], audio, axis=-1))


def band_pass(audio: Audio, *, low_hz: float, high_hz: float) -> Audio:
    sos = signal.butter(2, [low_hz, high_hz], "bandpass", fs=SAMPLE_RATE_HZ, output="sos")
    out: Audio = signal.sosfilt(sos, audio, axis=1).astype(np.float32)
    return out


def high_pass(audio: Audio, *, cutoff_hz: float) -> Audio:
    sos = signal.butter(2, cutoff_hz, "highpass", fs=SAMPLE_RATE_HZ, output="sos")
    out: Audio = signal.sosfilt(sos, audio, axis=1).astype(np.float32)
    return out


def tilt(audio: Audio, *, pivot_hz: float, highs_db: float) -> Audio:
    """Change the level of everything above the pivot frequency."""
    lows = low_pass(audio, cutoff_hz=pivot_hz)
    return (lows + (audio - lows) * 10 ** (highs_db / 20)).astype(np.float32)


def add_resonances(audio: Audio, *, rng: np.random.Generator) -> Audio:
    """Apply one to four random peaking filters (Audio EQ Cookbook, Bristow-Johnson)."""
    out: NDArray[np.floating] = audio
    for _ in range(int(rng.integers(1, 5))):
        turn = 2 * np.pi * np.exp(rng.uniform(np.log(90), np.log(7000))) / SAMPLE_RATE_HZ
        gain, width = 10 ** (rng.normal(0, 6) / 40), np.sin(turn) / (2 * np.exp(rng.uniform(-0.7, 1.6)))
        over = np.array([1 + width * gain, -2 * np.cos(turn), 1 - width * gain])
        under = np.array([1 + width / gain, -2 * np.cos(turn), 1 - width / gain])
        out = signal.lfilter(over, under, out, axis=1)
    return out.astype(np.float32)


def add_chorus(audio: Audio, *, rng: np.random.Generator) -> Audio:
    """Add a copy of each channel with a modulated delay."""
    samples = np.arange(audio.shape[1])
    depth_s, middle_s = rng.uniform(0.0004, 0.004), rng.uniform(0.005, 0.02)
    rate_hz, wet = rng.uniform(0.15, 3.0), rng.uniform(0.3, 0.9)
    sides = []
    for side, turn in zip(audio, (0.0, rng.uniform(0, np.pi)), strict=True):
        moved_s = middle_s + depth_s * np.sin(2 * np.pi * rate_hz * samples / SAMPLE_RATE_HZ + turn)
        sides.append(side + wet * np.interp(samples - moved_s * SAMPLE_RATE_HZ, samples, side))
    return np.stack(sides).astype(np.float32)


def pan(audio: Audio, *, position: float) -> Audio:
    """Pan with constant power; -1 is left, 1 is right."""
    angle = (position + 1) * np.pi / 4
    return audio * np.array([[np.cos(angle)], [np.sin(angle)]], np.float32) * np.float32(np.sqrt(2))


def set_level(audio: Audio, *, rms_db: float) -> Audio:
    """Scale the audible part to an RMS level in dB below full scale. Silence is returned unchanged."""
    power = (audio**2).mean(0)
    loud = power[power > power.max() * 1e-4]
    rms = float(np.sqrt(loud.mean())) if loud.size else 0.0
    return audio * np.float32(10 ** (rms_db / 20) / rms) if rms > 1e-6 else audio


def add_random_effects(audio: Audio, *, rng: np.random.Generator, wet: float) -> Audio:
    """Add random effects to an instrument: tilt, sometimes saturation, echo and reverb."""
    out = tilt(audio, pivot_hz=float(rng.uniform(400, 4000)), highs_db=float(rng.uniform(-8, 6)))
    if rng.random() < 0.2:
        out = saturate(out, gain_db=float(rng.uniform(0, 14)))
    if rng.random() < 0.2 * min(1.0, wet * 2):
        out = add_echo(
            out, delay_s=float(rng.uniform(0.1, 0.5)), feedback=0.5, wet=float(rng.uniform(0.1, 0.4))
        )
    if rng.random() < wet:
        out = add_reverb(
            out, rng=rng, decay_s=float(rng.uniform(0.2, 2.2)), wet=float(rng.uniform(0.05, 0.6))
        )
    return out


def vary_timbre(audio: Audio, *, rng: np.random.Generator, chorus_chance: float) -> Audio:
    """Add resonances to half of the instruments, and a chorus with probability `chorus_chance`."""
    out = add_resonances(audio, rng=rng) if rng.random() < 0.5 else audio
    return add_chorus(out, rng=rng) if rng.random() < chorus_chance else out
