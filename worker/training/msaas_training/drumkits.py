"""A drum machine: hits made of swept sines and shaped noise, or recorded one by one; no two kits alike."""

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
class Recipe:
    """A tone that falls from one pitch to another, noise in a band, and how fast both die."""

    tone_hz: tuple[float, float]
    tone_decay_s: float
    noise_hz: tuple[float, float]
    noise_decay_s: float
    noise_share: float


#: What a key sounds like before chance moves every number by up to a half.
_TOM = (0.25, (200.0, 2000.0), 0.05, 0.15)
RECIPES: dict[int, Recipe] = {
    KICK: Recipe((160.0, 48.0), 0.25, (800.0, 6000.0), 0.008, 0.12),
    SNARE: Recipe((260.0, 180.0), 0.09, (900.0, 9000.0), 0.14, 0.7),
    SIDE_STICK: Recipe((1700.0, 1650.0), 0.015, (1500.0, 9000.0), 0.01, 0.4),
    CLAP: Recipe((900.0, 800.0), 0.01, (800.0, 6000.0), 0.12, 0.95),
    CLOSED_HAT: Recipe((9000.0, 8800.0), 0.02, (6000.0, 17000.0), 0.035, 0.97),
    PEDAL_HAT: Recipe((9000.0, 8800.0), 0.02, (5000.0, 15000.0), 0.05, 0.97),
    OPEN_HAT: Recipe((9000.0, 8800.0), 0.02, (5500.0, 17000.0), 0.3, 0.97),
    LOW_TOM: Recipe((120.0, 80.0), *_TOM),
    MID_TOM: Recipe((170.0, 120.0), *_TOM),
    HIGH_TOM: Recipe((240.0, 170.0), *_TOM),
    CONGA_LOW: Recipe((220.0, 200.0), *_TOM),
    CONGA_HIGH: Recipe((330.0, 300.0), *_TOM),
    TAMBOURINE: Recipe((7000.0, 7000.0), 0.05, (5000.0, 16000.0), 0.12, 0.9),
    SHAKER: Recipe((7000.0, 7000.0), 0.01, (4000.0, 14000.0), 0.06, 1.0),
    COWBELL: Recipe((800.0, 795.0), 0.12, (500.0, 4000.0), 0.05, 0.2),
    CLAVES: Recipe((2500.0, 2480.0), 0.04, (2000.0, 6000.0), 0.01, 0.1),
}
_CYMBAL = Recipe((5400.0, 5300.0), 0.4, (3000.0, 16000.0), 0.9, 0.95)
_HIT_S = 1.2


def play(
    notes: Sequence[Note],
    *,
    rng: np.random.Generator,
    duration_s: float,
    recorded: float = 0.0,
    kits: tuple[Path, ...] = oneshots.KITS,
) -> Audio:
    """Each key gets one sound for the whole song and a place between left and right.

    `recorded` is the share of the keys whose sound is a recording, where `kits` have one.
    """
    kit: dict[int, Hit] = {}
    sides = {note.pitch: rng.uniform(-0.35, 0.35) for note in notes}
    out = np.zeros((2, round((duration_s + _HIT_S) * SAMPLE_RATE_HZ)))
    for note in notes:
        if note.pitch not in kit:
            kit[note.pitch] = _sound(note.pitch, rng=rng, recorded=recorded, kits=kits)
        hit, start = kit[note.pitch], round(note.start_s * SAMPLE_RATE_HZ)
        side = 0.0 if note.pitch in (KICK, SNARE) else sides[note.pitch]
        gains = np.array([[1 - side], [1 + side]]) * (note.velocity / 127) ** 1.5
        room = min(hit.size, max(0, out.shape[1] - start))
        out[:, start : start + room] += gains * hit[:room]
    return out[:, : round(duration_s * SAMPLE_RATE_HZ)].astype(np.float32)


def _sound(key: int, *, rng: np.random.Generator, recorded: float, kits: tuple[Path, ...]) -> Hit:
    hit = oneshots.drawn(key, rng=rng, kits=kits) if recorded and rng.random() < recorded else None
    return _hit(_moved(RECIPES.get(key, _CYMBAL), rng=rng), rng=rng) if hit is None else hit


def _moved(recipe: Recipe, *, rng: np.random.Generator) -> Recipe:
    by = rng.uniform(0.65, 1.5, size=4)
    high, low = recipe.tone_hz
    noise_low, noise_high = recipe.noise_hz
    return Recipe(
        (high * by[0] * rng.uniform(1, 1.6), low * by[0]),
        recipe.tone_decay_s * by[1],
        (noise_low * by[2], min(20_000.0, noise_high * by[2])),
        recipe.noise_decay_s * by[3],
        float(np.clip(recipe.noise_share * rng.uniform(0.6, 1.3), 0, 1)),
    )


def _hit(recipe: Recipe, *, rng: np.random.Generator) -> Hit:
    time = np.arange(int(_HIT_S * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    high, low = recipe.tone_hz
    frequency = low + (high - low) * np.exp(-time / 0.03)
    tone = np.sin(2 * np.pi * np.cumsum(frequency) / SAMPLE_RATE_HZ) * np.exp(-time / recipe.tone_decay_s)
    sos = signal.butter(2, recipe.noise_hz, "bandpass", fs=SAMPLE_RATE_HZ, output="sos")
    noise = signal.sosfilt(sos, rng.standard_normal(time.size)) * np.exp(-time / recipe.noise_decay_s)
    noise /= np.abs(noise).max() + 1e-9
    hit = tone * (1 - recipe.noise_share) + noise * recipe.noise_share
    return np.asarray(np.tanh(hit * rng.uniform(0.8, 3.0)))
