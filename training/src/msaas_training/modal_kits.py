"""Random drum kits by modal synthesis: membranes, bars and plates, with the noise of sticks and wires.

Recorded kits are few, and each has one kick and one snare. This module draws new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from msaas_training import effects
from msaas_training.distributions import draw_log_uniform
from msaas_training.effects import Audio
from msaas_training.notes import SAMPLE_RATE_HZ, Note
from msaas_training.styles import (
    BELL,
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

Wave = NDArray[np.floating]
Range = tuple[float, float]
#: Mode ratios of a circular membrane under tension (Fletcher and Rossing 1998, table 3.1).
_MEMBRANE_RATIOS = (1.0, 1.59, 2.14, 2.3, 2.65, 2.92, 3.16, 3.5, 3.6, 3.65, 4.06)
#: Mode ratios of a bar with free ends (table 2.1).
_BAR_RATIOS = (1.0, 2.76, 5.4, 8.93)
_PLATE_MODES, _TOP_HZ = 40, 14_000.0
#: Longest sound of a piece, and its fade-out.
_LONGEST_S, _FADE_S = 2.5, 1.0


@dataclass(frozen=True)
class PieceType:
    """Parameter ranges of a drum. Values are drawn log-uniformly between the two bounds.

    `noise_hz` is the band that contains the noise. `noise` is its level relative to the modes, and a type
    without modes consists of noise. `gain` is relative to the other pieces of the kit.
    """

    modes: Literal["skin", "bar", "plate", "none"]
    lowest_hz: Range
    decay_s: Range
    noise: Range
    noise_hz: Range
    noise_decay_s: Range
    glide: Range = (1.0, 1.02)
    gain: Range = (0.5, 1.0)


_STICK: tuple[Range, Range] = ((300.0, 8000.0), (0.003, 0.03))
_METAL: tuple[Range, Range, Range] = ((0.3, 3.0), (2500.0, 15_000.0), (0.02, 0.1))
_SOFT, _MEDIUM = (0.06, 0.4), (0.15, 0.7)
PIECE_TYPES: dict[int, PieceType] = {
    KICK: PieceType("skin", (36, 110), (0.05, 0.6), (0.02, 0.5), *_STICK, glide=(1.0, 2.2)),
    SNARE: PieceType(
        "skin", (140, 340), (0.03, 0.35), (0.3, 3), (500, 11_000), (0.05, 0.35), glide=(1.0, 1.3)
    ),
    LOW_TOM: PieceType("skin", (60, 130), (0.1, 1.2), (0.02, 0.4), *_STICK, glide=(1.0, 1.5)),
    MID_TOM: PieceType("skin", (90, 190), (0.1, 1.0), (0.02, 0.4), *_STICK, glide=(1.0, 1.5)),
    HIGH_TOM: PieceType("skin", (120, 280), (0.08, 0.8), (0.02, 0.4), *_STICK, glide=(1.0, 1.5)),
    CONGA_LOW: PieceType("skin", (140, 260), (0.06, 0.5), (0.02, 0.3), *_STICK, glide=(1.0, 1.1)),
    CONGA_HIGH: PieceType("skin", (210, 430), (0.05, 0.4), (0.02, 0.3), *_STICK, glide=(1.0, 1.1)),
    SIDE_STICK: PieceType("bar", (300, 1800), (0.008, 0.06), (0.05, 1), *_STICK, gain=_MEDIUM),
    CLAVES: PieceType("bar", (1200, 3500), (0.02, 0.1), (0.02, 0.2), *_STICK, gain=_MEDIUM),
    COWBELL: PieceType("bar", (400, 1100), (0.05, 0.4), (0.02, 0.3), *_STICK, gain=_MEDIUM),
    BELL: PieceType("bar", (500, 1800), (0.3, 1.5), (0.05, 0.5), *_STICK, gain=_MEDIUM),
    CLOSED_HAT: PieceType("plate", (250, 1500), (0.01, 0.08), *_METAL, gain=_SOFT),
    PEDAL_HAT: PieceType("plate", (250, 1500), (0.01, 0.08), *_METAL, gain=_SOFT),
    OPEN_HAT: PieceType("plate", (250, 1500), (0.15, 0.9), (0.3, 3), (2500, 15_000), (0.15, 0.6), gain=_SOFT),
    TAMBOURINE: PieceType(
        "plate", (2000, 6000), (0.03, 0.25), (0.3, 3), (3000, 15_000), (0.04, 0.2), gain=_SOFT
    ),
    SHAKER: PieceType("none", (0, 0), (0, 0), (1, 1), (2500, 14_000), (0.02, 0.1), gain=_SOFT),
    CLAP: PieceType("none", (0, 0), (0, 0), (1, 1), (600, 7000), (0.04, 0.25), gain=_MEDIUM),
}
_CYMBAL = PieceType("plate", (200, 1200), (0.4, 2.2), (0.1, 1), (2500, 15_000), (0.1, 1), gain=_SOFT)


def draw_noise(time: Wave, *, band_hz: Range, decay_s: float, rng: np.random.Generator) -> Wave:
    """Draw decaying noise of level 1, in a random part of the band.

    The part has at least a quarter of the band's octaves.
    """
    lowest, highest = np.log(band_hz)
    trim = rng.uniform(0, 0.5, 2) * (highest - lowest) * np.array([1, 0.5])
    edges = np.exp([lowest + trim[0], highest - trim[1]])
    sos = signal.butter(1, edges, "bandpass", fs=SAMPLE_RATE_HZ, output="sos")
    noise = signal.sosfilt(sos, rng.standard_normal(time.size))
    return np.asarray(noise / (noise.std() + 1e-9) * np.exp(-time / decay_s) / np.sqrt(2))


@dataclass(frozen=True)
class Piece:
    """One drum: `low` sounds at every velocity, `high` grows with velocity. Both are `[samples]`.

    `pan` is its position from -1 (left) to 1 (right).
    """

    low: Wave
    high: Wave
    pan: float

    @classmethod
    def draw(
        cls, key: int, rng: np.random.Generator, *, draw_noise: Callable[..., Wave] = draw_noise
    ) -> Piece:
        piece_type = PIECE_TYPES.get(key, _CYMBAL)
        decay_s = draw_log_uniform(rng, *piece_type.decay_s) if piece_type.modes != "none" else 0.0
        noise_decay_s = draw_log_uniform(rng, *piece_type.noise_decay_s)
        time = (
            np.arange(round(min(_LONGEST_S, 7 * max(decay_s, noise_decay_s)) * SAMPLE_RATE_HZ))
            / SAMPLE_RATE_HZ
        )
        low, high = _sum_modes(time, piece_type=piece_type, decay_s=decay_s, rng=rng)
        noise = draw_log_uniform(rng, *piece_type.noise) * draw_noise(
            time, band_hz=piece_type.noise_hz, decay_s=noise_decay_s, rng=rng
        )
        gain = draw_log_uniform(rng, *piece_type.gain)
        remaining_s = time[::-1] + 1 / SAMPLE_RATE_HZ
        fade = gain * np.minimum(1, remaining_s / min(_FADE_S, float(remaining_s[0]) / 3))
        max_pan = 0.15 if key in (KICK, SNARE) else 0.7
        return cls(low * fade, (high + noise) * fade, float(rng.uniform(-max_pan, max_pan)))

    def strike(self, velocity: int) -> Wave:
        hardness = velocity / 127
        return np.asarray(hardness**1.5 * (self.low + hardness * self.high))


def add_random_effects(kit: Audio, *, rng: np.random.Generator) -> Audio:
    """Saturate half of the kits, and add a reverb to most of them."""
    processed = effects.saturate(kit, gain_db=float(rng.uniform(-6, 12))) if rng.random() < 0.5 else kit
    if rng.random() < 0.3:
        return processed
    return effects.add_reverb(
        processed, rng=rng, decay_s=draw_log_uniform(rng, 0.15, 1.2), wet=draw_log_uniform(rng, 0.1, 1.0)
    )


def play(
    notes: Sequence[Note],
    *,
    rng: np.random.Generator,
    duration_s: float,
    add_effects: Callable[..., Audio] = add_random_effects,
) -> Audio:
    """Render notes to `[2, samples]`, with one piece for each key and the effects on the sum."""
    pieces = {key: Piece.draw(key, rng) for key in sorted({note.pitch for note in notes})}
    out = np.zeros((2, round(duration_s * SAMPLE_RATE_HZ)), np.float32)
    for note in notes:
        piece = pieces[note.pitch]
        start = round(note.start_s * SAMPLE_RATE_HZ)
        wave = piece.strike(note.velocity)[: max(0, out.shape[1] - start)]
        out[:, start : start + wave.size] += np.array([[1 - piece.pan], [1 + piece.pan]]) * wave
    return add_effects(out, rng=rng)


def _sum_modes(
    time: Wave, *, piece_type: PieceType, decay_s: float, rng: np.random.Generator
) -> tuple[Wave, Wave]:
    """Return the lower third of the modes and the rest. Their sum starts at a level of about 1."""
    low, high = np.zeros((2, time.size), np.float32)
    if piece_type.modes == "none":
        return low, high
    modes_hz = _draw_modes_hz(
        piece_type.modes, lowest_hz=draw_log_uniform(rng, *piece_type.lowest_hz), rng=rng
    )
    amplitudes, damping = (
        _draw_amplitudes(rng, modes_hz, modes=piece_type.modes),
        draw_log_uniform(rng, 0.05, 1.5),
    )
    frequency_ratio = 1 + (draw_log_uniform(rng, *piece_type.glide) - 1) * np.exp(
        -time / draw_log_uniform(rng, 0.01, 0.08)
    )
    cycles = np.cumsum(frequency_ratio) / SAMPLE_RATE_HZ
    for order in np.flatnonzero(modes_hz < _TOP_HZ):
        phase = (2 * np.pi * (modes_hz[order] * cycles % 1)).astype(np.float32)
        decay = np.exp((-time * (1 + damping * order) / decay_s).astype(np.float32))
        part = low if order < modes_hz.size // 3 else high
        part += np.float32(amplitudes[order]) * np.sin(phase) * decay
    return low, high


def _draw_modes_hz(modes: str, *, lowest_hz: float, rng: np.random.Generator) -> Wave:
    """Draw mode frequencies: near the published ratios for membranes and bars, random for plates."""
    if modes == "plate":
        spread = rng.uniform(np.log(lowest_hz), np.log(_TOP_HZ), _PLATE_MODES)
        return np.sort(np.exp(spread))
    ratios = np.array(_MEMBRANE_RATIOS if modes == "skin" else _BAR_RATIOS)
    return lowest_hz * ratios * np.exp(rng.normal(0, 0.05, ratios.size))


def _draw_amplitudes(rng: np.random.Generator, modes_hz: Wave, *, modes: str) -> Wave:
    """Draw amplitudes that fall with frequency, except for plates. Their squares sum to 1."""
    slope = (modes_hz / modes_hz[0]) ** (
        rng.uniform(-0.8, 0.6) if modes == "plate" else -rng.uniform(0.2, 2.5)
    )
    amplitudes = slope * np.exp(rng.normal(0, rng.uniform(0.2, 1.0), modes_hz.size))
    return np.asarray(amplitudes / np.sqrt((amplitudes**2).sum()))
