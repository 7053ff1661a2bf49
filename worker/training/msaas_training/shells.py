"""Drum kits that nobody built: skins, wood and metal as sums of modes, and the noise of sticks and wires.

Recorded kits are few, and each has one kick and one snare. These ring, glide and rattle as chance has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from msaas_training import effects
from msaas_training.chance import by_octaves
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
#: Modes of a round skin under tension, as multiples of its lowest (Fletcher and Rossing 1998, table 3.1).
_SKIN = (1.0, 1.59, 2.14, 2.3, 2.65, 2.92, 3.16, 3.5, 3.6, 3.65, 4.06)
#: Of a bar that is free at both ends (table 2.1).
_BAR = (1.0, 2.76, 5.4, 8.93)
_PLATE_MODES, _TOP_HZ = 40, 14_000.0
#: No piece sounds longer; the last of it dies away.
_LONGEST_S, _FADE_S = 2.5, 1.0


@dataclass(frozen=True)
class Kind:
    """What pieces of a kind may be like: each number is drawn between two, evenly in octaves.

    But `noise_hz` is the band that noise may have a part of. `noise` is how loud sticks, wires or grains are
    beside the modes; a kind without modes has noise alone. `loud` is beside the other pieces of the kit.
    """

    modes: Literal["skin", "bar", "plate", "none"]
    lowest_hz: Range
    ring_s: Range
    noise: Range
    noise_hz: Range
    noise_s: Range
    glide: Range = (1.0, 1.02)
    loud: Range = (0.5, 1.0)


_STICK: tuple[Range, Range] = ((300.0, 8000.0), (0.003, 0.03))
_METAL: tuple[Range, Range, Range] = ((0.3, 3.0), (2500.0, 15_000.0), (0.02, 0.1))
_SOFT, _LESS = (0.06, 0.4), (0.15, 0.7)
KINDS: dict[int, Kind] = {
    KICK: Kind("skin", (36, 110), (0.05, 0.6), (0.02, 0.5), *_STICK, glide=(1.0, 2.2)),
    SNARE: Kind("skin", (140, 340), (0.03, 0.35), (0.3, 3), (500, 11_000), (0.05, 0.35), glide=(1.0, 1.3)),
    LOW_TOM: Kind("skin", (60, 130), (0.1, 1.2), (0.02, 0.4), *_STICK, glide=(1.0, 1.5)),
    MID_TOM: Kind("skin", (90, 190), (0.1, 1.0), (0.02, 0.4), *_STICK, glide=(1.0, 1.5)),
    HIGH_TOM: Kind("skin", (120, 280), (0.08, 0.8), (0.02, 0.4), *_STICK, glide=(1.0, 1.5)),
    CONGA_LOW: Kind("skin", (140, 260), (0.06, 0.5), (0.02, 0.3), *_STICK, glide=(1.0, 1.1)),
    CONGA_HIGH: Kind("skin", (210, 430), (0.05, 0.4), (0.02, 0.3), *_STICK, glide=(1.0, 1.1)),
    SIDE_STICK: Kind("bar", (300, 1800), (0.008, 0.06), (0.05, 1), *_STICK, loud=_LESS),
    CLAVES: Kind("bar", (1200, 3500), (0.02, 0.1), (0.02, 0.2), *_STICK, loud=_LESS),
    COWBELL: Kind("bar", (400, 1100), (0.05, 0.4), (0.02, 0.3), *_STICK, loud=_LESS),
    BELL: Kind("bar", (500, 1800), (0.3, 1.5), (0.05, 0.5), *_STICK, loud=_LESS),
    CLOSED_HAT: Kind("plate", (250, 1500), (0.01, 0.08), *_METAL, loud=_SOFT),
    PEDAL_HAT: Kind("plate", (250, 1500), (0.01, 0.08), *_METAL, loud=_SOFT),
    OPEN_HAT: Kind("plate", (250, 1500), (0.15, 0.9), (0.3, 3), (2500, 15_000), (0.15, 0.6), loud=_SOFT),
    TAMBOURINE: Kind("plate", (2000, 6000), (0.03, 0.25), (0.3, 3), (3000, 15_000), (0.04, 0.2), loud=_SOFT),
    SHAKER: Kind("none", (0, 0), (0, 0), (1, 1), (2500, 14_000), (0.02, 0.1), loud=_SOFT),
    CLAP: Kind("none", (0, 0), (0, 0), (1, 1), (600, 7000), (0.04, 0.25), loud=_LESS),
}
_CYMBAL = Kind("plate", (200, 1200), (0.4, 2.2), (0.1, 1), (2500, 15_000), (0.1, 1), loud=_SOFT)


@dataclass(frozen=True)
class Piece:
    """One drum: `low`, `[samples]`, sounds at any stroke, `high` the more the harder it is.

    `side` is where it stands, from -1 (left) to 1.
    """

    low: Wave
    high: Wave
    side: float

    @classmethod
    def drawn(cls, key: int, rng: np.random.Generator) -> Piece:
        kind = KINDS.get(key, _CYMBAL)
        ring_s = by_octaves(rng, *kind.ring_s) if kind.modes != "none" else 0.0
        noise_s = by_octaves(rng, *kind.noise_s)
        time = np.arange(round(min(_LONGEST_S, 7 * max(ring_s, noise_s)) * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
        low, high = _ringing(time, kind=kind, ring_s=ring_s, rng=rng)
        noise = by_octaves(rng, *kind.noise) * _rattling(
            time, band_hz=kind.noise_hz, decay_s=noise_s, rng=rng
        )
        loud = by_octaves(rng, *kind.loud)
        left_s = time[::-1] + 1 / SAMPLE_RATE_HZ
        fade = loud * np.minimum(1, left_s / min(_FADE_S, float(left_s[0]) / 3))
        widest = 0.15 if key in (KICK, SNARE) else 0.7
        return cls(low * fade, (high + noise) * fade, float(rng.uniform(-widest, widest)))

    def struck(self, velocity: int) -> Wave:
        hardness = velocity / 127
        return np.asarray(hardness**1.5 * (self.low + hardness * self.high))


def play(notes: Sequence[Note], *, rng: np.random.Generator, duration_s: float) -> Audio:
    """`[2, samples]`: each key is one piece all along, and most kits stand in a room."""
    pieces = {key: Piece.drawn(key, rng) for key in sorted({note.pitch for note in notes})}
    out = np.zeros((2, round(duration_s * SAMPLE_RATE_HZ)), np.float32)
    for note in notes:
        piece = pieces[note.pitch]
        start = round(note.start_s * SAMPLE_RATE_HZ)
        wave = piece.struck(note.velocity)[: max(0, out.shape[1] - start)]
        out[:, start : start + wave.size] += np.array([[1 - piece.side], [1 + piece.side]]) * wave
    driven = effects.drive(out, gain_db=float(rng.uniform(-6, 12))) if rng.random() < 0.5 else out
    return _in_a_room(driven, rng=rng)


def _in_a_room(kit: Audio, *, rng: np.random.Generator) -> Audio:
    if rng.random() < 0.3:
        return kit
    return effects.room(kit, rng=rng, decay_s=by_octaves(rng, 0.15, 1.2), wet=by_octaves(rng, 0.1, 1.0))


def _ringing(time: Wave, *, kind: Kind, ring_s: float, rng: np.random.Generator) -> tuple[Wave, Wave]:
    """The lower third of the modes and the rest; together they begin about as loud as 1."""
    low, high = np.zeros((2, time.size), np.float32)
    if kind.modes == "none":
        return low, high
    modes_hz = _modes(kind.modes, lowest_hz=by_octaves(rng, *kind.lowest_hz), rng=rng)
    strengths, damping = _strengths(rng, modes_hz, kind=kind.modes), by_octaves(rng, 0.05, 1.5)
    begun = 1 + (by_octaves(rng, *kind.glide) - 1) * np.exp(-time / by_octaves(rng, 0.01, 0.08))
    cycles = np.cumsum(begun) / SAMPLE_RATE_HZ
    for order in np.flatnonzero(modes_hz < _TOP_HZ):
        turn = (2 * np.pi * (modes_hz[order] * cycles % 1)).astype(np.float32)
        die = np.exp((-time * (1 + damping * order) / ring_s).astype(np.float32))
        part = low if order < modes_hz.size // 3 else high
        part += np.float32(strengths[order]) * np.sin(turn) * die
    return low, high


def _modes(kind: str, *, lowest_hz: float, rng: np.random.Generator) -> Wave:
    """Where they lie: near to what the books say of a skin or a bar, anywhere for a plate."""
    if kind == "plate":
        spread = rng.uniform(np.log(lowest_hz), np.log(_TOP_HZ), _PLATE_MODES)
        return np.sort(np.exp(spread))
    ratios = np.array(_SKIN if kind == "skin" else _BAR)
    return lowest_hz * ratios * np.exp(rng.normal(0, 0.05, ratios.size))


def _strengths(rng: np.random.Generator, modes_hz: Wave, *, kind: str) -> Wave:
    """Weaker the higher, but for a plate's, and uneven by chance; their squares sum to 1."""
    even = (modes_hz / modes_hz[0]) ** (rng.uniform(-0.8, 0.6) if kind == "plate" else -rng.uniform(0.2, 2.5))
    strengths = even * np.exp(rng.normal(0, rng.uniform(0.2, 1.0), modes_hz.size))
    return np.asarray(strengths / np.sqrt((strengths**2).sum()))


def _rattling(time: Wave, *, band_hz: Range, decay_s: float, rng: np.random.Generator) -> Wave:
    """Noise of a quarter of the octaves between two frequencies or more, as loud as 1 where it begins."""
    lowest, highest = np.log(band_hz)
    cut = rng.uniform(0, 0.5, 2) * (highest - lowest) * np.array([1, 0.5])
    edges = np.exp([lowest + cut[0], highest - cut[1]])
    sos = signal.butter(1, edges, "bandpass", fs=SAMPLE_RATE_HZ, output="sos")
    noise = signal.sosfilt(sos, rng.standard_normal(time.size))
    return np.asarray(noise / (noise.std() + 1e-9) * np.exp(-time / decay_s) / np.sqrt(2))
