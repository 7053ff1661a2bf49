"""Random instruments by additive synthesis: partials with random frequencies, levels and decays, plus noise.

The parameters cover strings, bars, reeds, pipes and organs, and sounds between and beyond them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from msaas_training.distributions import draw_log_uniform
from msaas_training.effects import Audio, low_pass
from msaas_training.notes import SAMPLE_RATE_HZ, Note

Wave = NDArray[np.floating]
_PARTIALS = 24
#: Partials above this frequency are left out to prevent aliasing.
_TOP_HZ = 12_000.0
#: Decay times apply at this frequency. Higher notes decay faster.
_REFERENCE_HZ = 220.0


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """Parameters that all notes of an instrument share.

    `ratios` (to the fundamental) and `decays_s` are `[strings · partials]`, `amplitudes` is `[partials]`.
    A share `sustain` (0 to 1) of each partial does not decay. `breath_noise` and `onset_noise` are levels
    relative to the tone, for the whole note and for its onset.
    """

    ratios: Wave
    amplitudes: Wave
    decays_s: Wave
    sustain: float
    attack_s: float
    release_s: float
    vibrato_semitones: float
    vibrato_hz: float
    breath_noise: float
    onset_noise: float
    noise_hz: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Instrument:
        """Draw an instrument: half are struck or plucked, half are bowed or blown."""
        is_struck = rng.random() < 0.5
        ratios, amplitudes = _draw_ratios(rng, is_struck=is_struck), _draw_amplitudes(rng)
        return cls(
            ratios=ratios,
            amplitudes=amplitudes,
            decays_s=draw_log_uniform(rng, 0.15, 4.0)
            / (1 + rng.uniform(0, 0.6) * (np.arange(ratios.size) % _PARTIALS)),
            sustain=0.0 if is_struck else float(rng.uniform(0.3, 1.0)),
            attack_s=draw_log_uniform(rng, 0.001, 0.006) if is_struck else draw_log_uniform(rng, 0.005, 0.25),
            release_s=draw_log_uniform(rng, 0.03, 0.4),
            vibrato_semitones=0.0 if is_struck or rng.random() < 0.4 else draw_log_uniform(rng, 0.03, 0.5),
            vibrato_hz=float(rng.uniform(4, 7.5)),
            breath_noise=0.0 if is_struck or rng.random() < 0.5 else draw_log_uniform(rng, 0.003, 0.2),
            onset_noise=0.0 if rng.random() < 0.4 else draw_log_uniform(rng, 0.02, 0.8),
            noise_hz=draw_log_uniform(rng, 300, 8000),
        )


def _draw_ratios(rng: np.random.Generator, *, is_struck: bool) -> Wave:
    """Draw the partials of a harmonic, stiff (string) or inharmonic (bar) body.

    A third of the instruments have two strings, detuned against each other.
    """
    order = np.arange(1, _PARTIALS + 1, dtype=float)
    kind = rng.choice(["harmonic", "stiff", "bar"], p=[0.4, 0.4, 0.2] if is_struck else [0.8, 0.2, 0.0])
    if kind == "stiff":
        order = order * np.sqrt(1 + draw_log_uniform(rng, 1e-5, 2e-3) * order**2)
    elif kind == "bar":
        order = order ** rng.uniform(1.05, 1.8)
    return np.concatenate([order, order * 2 ** (rng.uniform(2, 18) / 1200)]) if rng.random() < 0.33 else order


def _draw_amplitudes(rng: np.random.Generator) -> Wave:
    """Draw amplitudes that fall with frequency, with random deviations.

    Half have the comb shape of a plucked string. Some have weak even partials, as a closed pipe.
    """
    order = np.arange(1, _PARTIALS + 1)
    position, even_gain = rng.uniform(0.06, 0.5), 1.0 if rng.random() < 0.7 else rng.uniform(0, 0.4)
    comb = np.abs(np.sin(np.pi * order * position)) if rng.random() < 0.5 else 1.0
    deviation = np.exp(rng.normal(0, rng.uniform(0, 1.0), _PARTIALS))
    return np.asarray(
        order ** -rng.uniform(0.3, 2.4) * comb * deviation * np.where(order % 2 == 0, even_gain, 1.0)
    )


def play(
    notes: Sequence[Note], *, instrument: Instrument, rng: np.random.Generator, duration_s: float
) -> Audio:
    """Render notes to `[2, samples]`, both channels equal. Sound after `duration_s` is cut.

    Each pitch is rendered once, for its longest note. Shorter notes are cut from it.
    """
    longest = {note.pitch: note for note in sorted(notes, key=lambda note: note.length_s)}
    tones = {pitch: _render_tone(note, instrument=instrument, rng=rng) for pitch, note in longest.items()}
    out = np.zeros(round(duration_s * SAMPLE_RATE_HZ))
    for note in notes:
        start = round(note.start_s * SAMPLE_RATE_HZ)
        wave = _release(tones[note.pitch], note=note, instrument=instrument)[: max(0, out.size - start)]
        out[start : start + wave.size] += wave * (note.velocity / 127) ** 1.5
    return np.stack([out, out]).astype(np.float32)


def _render_tone(note: Note, *, instrument: Instrument, rng: np.random.Generator) -> Wave:
    """Render a note held for its length plus the release time."""
    time = np.arange(round((note.length_s + instrument.release_s) * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tone = _sum_partials(time, instrument=instrument, frequency_hz=note.frequency_hz)
    noise = low_pass(rng.standard_normal(time.size), cutoff_hz=instrument.noise_hz)
    noise *= np.sqrt((tone**2).mean() / ((noise**2).mean() + 1e-12))
    noise_gain = instrument.breath_noise + instrument.onset_noise * np.exp(-time / 0.012)
    return np.asarray((tone + noise * noise_gain) * np.clip(time / instrument.attack_s, 0, 1))


def _sum_partials(time: Wave, *, instrument: Instrument, frequency_hz: float) -> Wave:
    """Sum the partials. The vibrato reaches its depth after 0.5 s."""
    vibrato = np.minimum(1, 2 * time) * np.sin(2 * np.pi * instrument.vibrato_hz * time)
    cycles = np.cumsum(frequency_hz * 2 ** (instrument.vibrato_semitones / 12 * vibrato)) / SAMPLE_RATE_HZ
    scale = min(1.5, (_REFERENCE_HZ / frequency_hz) ** 0.5)
    amplitudes, out = (
        np.resize(instrument.amplitudes, instrument.ratios.size),
        np.zeros(time.size, np.float32),
    )
    for ratio, amplitude, decay_s in zip(instrument.ratios, amplitudes, instrument.decays_s, strict=True):
        if ratio * frequency_hz < _TOP_HZ:
            phase = (2 * np.pi * (ratio * cycles % 1)).astype(np.float32)
            decay = np.exp((-time / (decay_s * scale)).astype(np.float32))
            gain = instrument.sustain + (1 - instrument.sustain) * decay
            out += np.float32(amplitude) * np.sin(phase) * gain
    return out


def _release(tone: Wave, *, note: Note, instrument: Instrument) -> Wave:
    """Cut the tone at the end of the note and fade it out."""
    release = round(instrument.release_s * SAMPLE_RATE_HZ)
    wave = tone[: round(note.length_s * SAMPLE_RATE_HZ) + release].copy()
    wave[-release:] *= np.linspace(1, 0, release)
    return wave
