"""Drum machine: hits synthesised from swept sines and shaped noise, or one-shot samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from msaas_training import oneshots
from msaas_training.effects import Audio
from msaas_training.notes import SAMPLE_RATE_HZ, Note
from msaas_training.styles import (
    CLAP,
    CLAVES,
    CLOSED_HAT,
    CONGA_HIGH,
    CONGA_LOW,
    COWBELL,
    HIGH_TOM,
    KICK,
    LOW_TOM,
    MID_TOM,
    OPEN_HAT,
    PEDAL_HAT,
    SHAKER,
    SIDE_STICK,
    SNARE,
    TAMBOURINE,
)

Hit = NDArray[np.float64]


@dataclass(frozen=True)
class HitSpec:
    """A hit: a tone that falls in pitch and band-passed noise, each with an exponential decay."""

    tone_hz: tuple[float, float]
    tone_decay_s: float
    noise_hz: tuple[float, float]
    noise_decay_s: float
    noise_share: float


#: The base sound of each key, which `_vary` changes for each kit.
_TOM = (0.25, (200.0, 2000.0), 0.05, 0.15)
HIT_SPECS: dict[int, HitSpec] = {
    KICK: HitSpec((160.0, 48.0), 0.25, (800.0, 6000.0), 0.008, 0.12),
    SNARE: HitSpec((260.0, 180.0), 0.09, (900.0, 9000.0), 0.14, 0.7),
    SIDE_STICK: HitSpec((1700.0, 1650.0), 0.015, (1500.0, 9000.0), 0.01, 0.4),
    CLAP: HitSpec((900.0, 800.0), 0.01, (800.0, 6000.0), 0.12, 0.95),
    CLOSED_HAT: HitSpec((9000.0, 8800.0), 0.02, (6000.0, 17000.0), 0.035, 0.97),
    PEDAL_HAT: HitSpec((9000.0, 8800.0), 0.02, (5000.0, 15000.0), 0.05, 0.97),
    OPEN_HAT: HitSpec((9000.0, 8800.0), 0.02, (5500.0, 17000.0), 0.3, 0.97),
    LOW_TOM: HitSpec((120.0, 80.0), *_TOM),
    MID_TOM: HitSpec((170.0, 120.0), *_TOM),
    HIGH_TOM: HitSpec((240.0, 170.0), *_TOM),
    CONGA_LOW: HitSpec((220.0, 200.0), *_TOM),
    CONGA_HIGH: HitSpec((330.0, 300.0), *_TOM),
    TAMBOURINE: HitSpec((7000.0, 7000.0), 0.05, (5000.0, 16000.0), 0.12, 0.9),
    SHAKER: HitSpec((7000.0, 7000.0), 0.01, (4000.0, 14000.0), 0.06, 1.0),
    COWBELL: HitSpec((800.0, 795.0), 0.12, (500.0, 4000.0), 0.05, 0.2),
    CLAVES: HitSpec((2500.0, 2480.0), 0.04, (2000.0, 6000.0), 0.01, 0.1),
}
_CYMBAL = HitSpec((5400.0, 5300.0), 0.4, (3000.0, 16000.0), 0.9, 0.95)
_HIT_S = 1.2


def play(
    notes: Sequence[Note],
    *,
    rng: np.random.Generator,
    duration_s: float,
    recorded: float = 0.0,
    kits: tuple[Path, ...] = oneshots.KITS,
) -> Audio:
    """Render notes to `[2, samples]`. Each key has one sound and one pan position in the whole song.

    `recorded` is the probability that a key uses a one-shot sample, if `kits` have one for it.
    """
    kit: dict[int, Hit] = {}
    pans = {note.pitch: rng.uniform(-0.35, 0.35) for note in notes}
    out = np.zeros((2, round((duration_s + _HIT_S) * SAMPLE_RATE_HZ)))
    for note in notes:
        if note.pitch not in kit:
            kit[note.pitch] = _draw_hit(note.pitch, rng=rng, recorded=recorded, kits=kits)
        hit, start = kit[note.pitch], round(note.start_s * SAMPLE_RATE_HZ)
        pan = 0.0 if note.pitch in (KICK, SNARE) else pans[note.pitch]
        gains = np.array([[1 - pan], [1 + pan]]) * (note.velocity / 127) ** 1.5
        length = min(hit.size, max(0, out.shape[1] - start))
        out[:, start : start + length] += gains * hit[:length]
    return out[:, : round(duration_s * SAMPLE_RATE_HZ)].astype(np.float32)


def _draw_hit(key: int, *, rng: np.random.Generator, recorded: float, kits: tuple[Path, ...]) -> Hit:
    hit = oneshots.draw_recording(key, rng=rng, kits=kits) if recorded and rng.random() < recorded else None
    return _synthesise(_vary(HIT_SPECS.get(key, _CYMBAL), rng=rng), rng=rng) if hit is None else hit


def _vary(spec: HitSpec, *, rng: np.random.Generator) -> HitSpec:
    """Scale each group of parameters by a random factor."""
    factors = rng.uniform(0.65, 1.5, size=4)
    high, low = spec.tone_hz
    noise_low, noise_high = spec.noise_hz
    return HitSpec(
        (high * factors[0] * rng.uniform(1, 1.6), low * factors[0]),
        spec.tone_decay_s * factors[1],
        (noise_low * factors[2], min(20_000.0, noise_high * factors[2])),
        spec.noise_decay_s * factors[3],
        float(np.clip(spec.noise_share * rng.uniform(0.6, 1.3), 0, 1)),
    )


def _synthesise(spec: HitSpec, *, rng: np.random.Generator) -> Hit:
    time = np.arange(int(_HIT_S * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    high, low = spec.tone_hz
    frequency = low + (high - low) * np.exp(-time / 0.03)
    tone = np.sin(2 * np.pi * np.cumsum(frequency) / SAMPLE_RATE_HZ) * np.exp(-time / spec.tone_decay_s)
    sos = signal.butter(2, spec.noise_hz, "bandpass", fs=SAMPLE_RATE_HZ, output="sos")
    noise = signal.sosfilt(sos, rng.standard_normal(time.size)) * np.exp(-time / spec.noise_decay_s)
    noise /= np.abs(noise).max() + 1e-9
    hit = tone * (1 - spec.noise_share) + noise * spec.noise_share
    return np.asarray(np.tanh(hit * rng.uniform(0.8, 3.0)))
