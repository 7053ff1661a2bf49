"""An imagined instrument: partials drawn by chance, each with a ring of its own, and some noise.

Additive synthesis. Between its ends lie strings, bars, reeds, pipes, organs, and much that nobody built.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from msaas_training.chance import by_octaves
from msaas_training.effects import Audio, one_pole
from msaas_training.notes import SAMPLE_RATE_HZ, Note

Wave = NDArray[np.floating]
_PARTIALS = 24
#: Partials above this are left out, so that nothing aliases.
_TOP_HZ = 12_000.0
#: A note of this frequency rings as long as the instrument says, higher ones shorter.
_MIDDLE_HZ = 220.0


@dataclass(frozen=True)
class Instrument:
    """What every note of it has in common.

    `ratios` (to the note) and `rings_s` are `[strings · partials]`, `strengths` `[partials]`, for each string
    alike. Of every ring a share `sustain` (0 to 1) is held as long as the note. `breath` and `knock` are how
    loud noise is beside the tone, all along and where it begins.
    """

    ratios: Wave
    strengths: Wave
    rings_s: Wave
    sustain: float
    attack_s: float
    release_s: float
    vibrato_semitones: float
    vibrato_hz: float
    breath: float
    knock: float
    noise_hz: float

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Instrument:
        """Half are struck or plucked, half bowed or blown."""
        struck = rng.random() < 0.5
        ratios, strengths = _ratios(rng, struck=struck), _strengths(rng)
        return cls(
            ratios=ratios,
            strengths=strengths,
            rings_s=by_octaves(rng, 0.15, 4.0)
            / (1 + rng.uniform(0, 0.6) * (np.arange(ratios.size) % _PARTIALS)),
            sustain=0.0 if struck else float(rng.uniform(0.3, 1.0)),
            attack_s=by_octaves(rng, 0.001, 0.006) if struck else by_octaves(rng, 0.005, 0.25),
            release_s=by_octaves(rng, 0.03, 0.4),
            vibrato_semitones=0.0 if struck or rng.random() < 0.4 else by_octaves(rng, 0.03, 0.5),
            vibrato_hz=float(rng.uniform(4, 7.5)),
            breath=0.0 if struck or rng.random() < 0.5 else by_octaves(rng, 0.003, 0.2),
            knock=0.0 if rng.random() < 0.4 else by_octaves(rng, 0.02, 0.8),
            noise_hz=by_octaves(rng, 300, 8000),
        )


def _ratios(rng: np.random.Generator, *, struck: bool) -> Wave:
    """Harmonic, stiff as a string, or stretched as of a bar; a third have two strings out of tune."""
    order = np.arange(1, _PARTIALS + 1, dtype=float)
    kind = rng.choice(["harmonic", "stiff", "bar"], p=[0.4, 0.4, 0.2] if struck else [0.8, 0.2, 0.0])
    if kind == "stiff":
        order = order * np.sqrt(1 + by_octaves(rng, 1e-5, 2e-3) * order**2)
    elif kind == "bar":
        order = order ** rng.uniform(1.05, 1.8)
    return np.concatenate([order, order * 2 ** (rng.uniform(2, 18) / 1200)]) if rng.random() < 0.33 else order


def _strengths(rng: np.random.Generator) -> Wave:
    """Weaker the higher, as a string is that is plucked at some place, and uneven by chance.

    Some have odd partials alone, or nearly so, as a closed pipe has.
    """
    order = np.arange(1, _PARTIALS + 1)
    place, evens = rng.uniform(0.06, 0.5), 1.0 if rng.random() < 0.7 else rng.uniform(0, 0.4)
    comb = np.abs(np.sin(np.pi * order * place)) if rng.random() < 0.5 else 1.0
    uneven = np.exp(rng.normal(0, rng.uniform(0, 1.0), _PARTIALS))
    return np.asarray(order ** -rng.uniform(0.3, 2.4) * comb * uneven * np.where(order % 2 == 0, evens, 1.0))


def play(
    notes: Sequence[Note], *, instrument: Instrument, rng: np.random.Generator, duration_s: float
) -> Audio:
    """`[2, samples]`, both sides alike; notes that ring past the end are cut.

    Every pitch is made once, as long as its longest note; its notes differ in length and loudness alone.
    """
    longest = {note.pitch: note for note in sorted(notes, key=lambda note: note.length_s)}
    tones = {pitch: _tone(note, instrument=instrument, rng=rng) for pitch, note in longest.items()}
    out = np.zeros(round(duration_s * SAMPLE_RATE_HZ))
    for note in notes:
        start = round(note.start_s * SAMPLE_RATE_HZ)
        wave = _ended(tones[note.pitch], note=note, instrument=instrument)[: max(0, out.size - start)]
        out[start : start + wave.size] += wave * (note.velocity / 127) ** 1.5
    return np.stack([out, out]).astype(np.float32)


def _tone(note: Note, *, instrument: Instrument, rng: np.random.Generator) -> Wave:
    """A note as it sounds until it is let go, and its release long beyond that."""
    time = np.arange(round((note.length_s + instrument.release_s) * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tone = _sounding(time, instrument=instrument, frequency_hz=note.frequency_hz)
    noise = one_pole(rng.standard_normal(time.size), cutoff_hz=instrument.noise_hz)
    noise *= np.sqrt((tone**2).mean() / ((noise**2).mean() + 1e-12))
    noisy = instrument.breath + instrument.knock * np.exp(-time / 0.012)
    return np.asarray((tone + noise * noisy) * np.clip(time / instrument.attack_s, 0, 1))


def _sounding(time: Wave, *, instrument: Instrument, frequency_hz: float) -> Wave:
    """The partials; the pitch may waver, by a vibrato that comes up within half a second."""
    sway = np.minimum(1, 2 * time) * np.sin(2 * np.pi * instrument.vibrato_hz * time)
    cycles = np.cumsum(frequency_hz * 2 ** (instrument.vibrato_semitones / 12 * sway)) / SAMPLE_RATE_HZ
    shorter = min(1.5, (_MIDDLE_HZ / frequency_hz) ** 0.5)
    strengths, out = np.resize(instrument.strengths, instrument.ratios.size), np.zeros(time.size, np.float32)
    for ratio, strength, ring_s in zip(instrument.ratios, strengths, instrument.rings_s, strict=True):
        if ratio * frequency_hz < _TOP_HZ:
            turn = (2 * np.pi * (ratio * cycles % 1)).astype(np.float32)
            ring = np.exp((-time / (ring_s * shorter)).astype(np.float32))
            held = instrument.sustain + (1 - instrument.sustain) * ring
            out += np.float32(strength) * np.sin(turn) * held
    return out


def _ended(tone: Wave, *, note: Note, instrument: Instrument) -> Wave:
    """Let go where the note ends."""
    release = round(instrument.release_s * SAMPLE_RATE_HZ)
    wave = tone[: round(note.length_s * SAMPLE_RATE_HZ) + release].copy()
    wave[-release:] *= np.linspace(1, 0, release)
    return wave
