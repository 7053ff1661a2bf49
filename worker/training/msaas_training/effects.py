"""What a mixing desk does to a track: room, echo, drive, tone, width and loudness."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from msaas_training.notes import SAMPLE_RATE_HZ

#: `[2, samples]`, float32.
Audio = NDArray[np.float32]


def room(audio: Audio, *, rng: np.random.Generator, decay_s: float, wet: float) -> Audio:
    """Convolve with decaying noise, darker towards its end; the two sides are independent."""
    length = int(decay_s * SAMPLE_RATE_HZ * 1.2)
    time = np.arange(length) / SAMPLE_RATE_HZ
    tail = rng.standard_normal((2, length)) * np.exp(-6.9 * time / decay_s)
    tail = one_pole(tail, cutoff_hz=float(rng.uniform(1500, 9000)))
    tail[:, : int(rng.uniform(0, 0.03) * SAMPLE_RATE_HZ)] = 0
    tail /= np.sqrt((tail**2).sum(1, keepdims=True)) + 1e-9
    wetted = signal.fftconvolve(audio, tail, axes=1)[:, : audio.shape[1]]
    return (audio + wet * wetted).astype(np.float32)


def echo(audio: Audio, *, delay_s: float, feedback: float, wet: float) -> Audio:
    out, step = audio.copy(), max(1, int(delay_s * SAMPLE_RATE_HZ))
    for repeat in range(1, 5):
        if repeat * step >= audio.shape[1]:
            break
        sides = audio[::-1] if repeat % 2 else audio
        out[:, repeat * step :] += wet * feedback ** (repeat - 1) * sides[:, : -repeat * step]
    return out


def drive(audio: Audio, *, gain_db: float) -> Audio:
    gain = 10 ** (gain_db / 20) / (np.abs(audio).max() + 1e-9)
    return np.tanh(audio * gain).astype(np.float32)


def one_pole(audio: NDArray[np.floating], *, cutoff_hz: float) -> NDArray[np.floating]:
    keep = float(np.exp(-2 * np.pi * cutoff_hz / SAMPLE_RATE_HZ))
    return np.asarray(signal.lfilter([1 - keep], [1, -keep], audio, axis=-1))


def band(audio: Audio, *, low_hz: float, high_hz: float) -> Audio:
    sos = signal.butter(2, [low_hz, high_hz], "bandpass", fs=SAMPLE_RATE_HZ, output="sos")
    return signal.sosfilt(sos, audio, axis=1).astype(np.float32)


def low_cut(audio: Audio, *, cutoff_hz: float) -> Audio:
    sos = signal.butter(2, cutoff_hz, "highpass", fs=SAMPLE_RATE_HZ, output="sos")
    return signal.sosfilt(sos, audio, axis=1).astype(np.float32)


def tilt(audio: Audio, *, pivot_hz: float, highs_db: float) -> Audio:
    """Turn everything above the pivot up or down."""
    lows = one_pole(audio, cutoff_hz=pivot_hz)
    return (lows + (audio - lows) * 10 ** (highs_db / 20)).astype(np.float32)


def resonances(audio: Audio, *, rng: np.random.Generator) -> Audio:
    """A body that rings: one to four bells of the Audio EQ Cookbook (Bristow-Johnson)."""
    out: NDArray[np.floating] = audio
    for _ in range(int(rng.integers(1, 5))):
        turn = 2 * np.pi * np.exp(rng.uniform(np.log(90), np.log(7000))) / SAMPLE_RATE_HZ
        gain, width = 10 ** (rng.normal(0, 6) / 40), np.sin(turn) / (2 * np.exp(rng.uniform(-0.7, 1.6)))
        over = np.array([1 + width * gain, -2 * np.cos(turn), 1 - width * gain])
        under = np.array([1 + width / gain, -2 * np.cos(turn), 1 - width / gain])
        out = signal.lfilter(over, under, out, axis=1)
    return out.astype(np.float32)


def chorus(audio: Audio, *, rng: np.random.Generator) -> Audio:
    """A copy of each side, late by a time that moves; fed back a little it would be a flanger."""
    samples = np.arange(audio.shape[1])
    depth_s, middle_s = rng.uniform(0.0004, 0.004), rng.uniform(0.005, 0.02)
    rate_hz, wet = rng.uniform(0.15, 3.0), rng.uniform(0.3, 0.9)
    sides = []
    for side, turn in zip(audio, (0.0, rng.uniform(0, np.pi)), strict=True):
        moved_s = middle_s + depth_s * np.sin(2 * np.pi * rate_hz * samples / SAMPLE_RATE_HZ + turn)
        sides.append(side + wet * np.interp(samples - moved_s * SAMPLE_RATE_HZ, samples, side))
    return np.stack(sides).astype(np.float32)


def pan(audio: Audio, *, position: float) -> Audio:
    """-1 is left, +1 is right, at constant power."""
    angle = (position + 1) * np.pi / 4
    return audio * np.array([[np.cos(angle)], [np.sin(angle)]], np.float32) * np.float32(np.sqrt(2))


def level(audio: Audio, *, rms_db: float) -> Audio:
    """Bring the part that sounds to a loudness; silence stays silence."""
    power = (audio**2).mean(0)
    loud = power[power > power.max() * 1e-4]
    rms = float(np.sqrt(loud.mean())) if loud.size else 0.0
    return audio * np.float32(10 ** (rms_db / 20) / rms) if rms > 1e-6 else audio


def dressed(audio: Audio, *, rng: np.random.Generator, wet: float) -> Audio:
    """A random desk for an instrument: tone, sometimes drive, echo and a room."""
    out = tilt(audio, pivot_hz=float(rng.uniform(400, 4000)), highs_db=float(rng.uniform(-8, 6)))
    if rng.random() < 0.2:
        out = drive(out, gain_db=float(rng.uniform(0, 14)))
    if rng.random() < 0.2 * min(1.0, wet * 2):
        out = echo(out, delay_s=float(rng.uniform(0.1, 0.5)), feedback=0.5, wet=float(rng.uniform(0.1, 0.4)))
    if rng.random() < wet:
        out = room(out, rng=rng, decay_s=float(rng.uniform(0.2, 2.2)), wet=float(rng.uniform(0.05, 0.6)))
    return out


def remade(audio: Audio, *, rng: np.random.Generator, moving: float) -> Audio:
    """Half of the instruments get a body that rings, and with the chance `moving` one gets a chorus."""
    out = resonances(audio, rng=rng) if rng.random() < 0.5 else audio
    return chorus(out, rng=rng) if rng.random() < moving else out
