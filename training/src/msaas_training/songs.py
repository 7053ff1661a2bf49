"""Renders a song: four stems, played and sung by the instruments and voices of a palette."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from msaas_training import additive, drum_machine, effects, modal_kits, oscillators, vocals
from msaas_training.composition import compose
from msaas_training.effects import Audio
from msaas_training.notes import SAMPLE_RATE_HZ, Part, Score
from msaas_training.palettes import BASS_PROGRAMS, DRUM_PROGRAMS, EVERY_PROGRAM, FREEPATS, PROGRAMS, Palette
from msaas_training.soundfonts import DRUM_BANK, UNCHANGED, PresetVariation, SoundfontPlayer
from msaas_training.timidity import TimidityPlayer

#: The order of stems in demucs.
STEMS = ("drums", "bass", "other", "vocals")
#: Mean level of each stem in dB below full scale, and the standard deviation.
_LEVELS_DB = {"drums": -21.0, "bass": -22.0, "other": -22.0, "vocals": -21.0}
_LEVEL_SPREAD_DB = 2.5
_PEAK = 0.95


@dataclass(frozen=True)
class Song:
    """A song. `stems` is `[4, 2, samples]`, float32, in the order of `STEMS`. The mixture is their sum.

    With several takes of the vocals it is `[3 + takes, 2, samples]`. A mixture contains one of the takes.
    """

    style: str
    stems: NDArray[np.float32]


def make_song(*, seed: Sequence[int], palette: Palette, duration_s: float, style: str | None = None) -> Song:
    """Render the song of a seed. The same seed, palette and packages give the same samples."""
    rng = np.random.default_rng(list(seed))
    score = compose(rng, duration_s=duration_s, style=style)
    tracks = {
        "drums": render_drums(score, palette=palette, rng=rng),
        "bass": render_bass(score, palette=palette, rng=rng),
        "other": render_others(score, palette=palette, rng=rng),
        "vocals": vocals.sing(score.melody.notes, pool=palette.singers, rng=rng, duration_s=duration_s),
    }
    levelled = [
        effects.set_level(tracks[stem], rms_db=_LEVELS_DB[stem] + rng.normal(0, _LEVEL_SPREAD_DB))
        for stem in STEMS
    ]
    if palette.takes:
        first = levelled.pop()
        levelled += [
            _sing_take(first, score=score, pool=pool, seed=(*seed, take))
            for take, pool in enumerate(palette.takes, 1)
        ]
    return Song(score.style, _limit_peak(np.stack(levelled)))


def _sing_take(first_take: Audio, *, score: Score, pool: vocals.SingerPool, seed: Sequence[int]) -> Audio:
    """Render the melody with other singers, at the RMS level of the first take.

    Backing singers and effects differ as well, so only averages over many songs compare voices.
    """
    rng = np.random.default_rng(list(seed))
    track = vocals.sing(score.melody.notes, pool=pool, rng=rng, duration_s=score.duration_s)
    return track * np.float32(np.sqrt((first_take**2).mean() / ((track**2).mean() + 1e-12)))


def render_drums(score: Score, *, palette: Palette, rng: np.random.Generator) -> Audio:
    notes, duration_s = score.drums.notes, score.duration_s
    if palette.modal_kits > 0 and rng.random() < palette.modal_kits:
        dry = modal_kits.play(notes, rng=rng, duration_s=duration_s)
    elif palette.varied and rng.random() < palette.mixed_kits:
        recorded = float(rng.choice([0.0, 0.7, 1.0]))
        dry = drum_machine.play(
            notes, rng=rng, duration_s=duration_s, recorded=recorded, kits=palette.one_shots
        )
    elif palette.synthetic and rng.random() < 0.35:
        dry = drum_machine.play(notes, rng=rng, duration_s=duration_s)
    else:
        program = int(rng.choice(DRUM_PROGRAMS))
        player = open_player(str(rng.choice(palette.drum_fonts)))
        variation = PresetVariation.draw(rng, semitones=2.0) if palette.varied else UNCHANGED
        dry = player.play(notes, bank=DRUM_BANK, program=program, duration_s=duration_s, variation=variation)
    if palette.varied:
        dry = effects.vary_timbre(dry, rng=rng, chorus_chance=0.05)
    return effects.add_random_effects(dry, rng=rng, wet=0.4)


def render_bass(score: Score, *, palette: Palette, rng: np.random.Generator) -> Audio:
    is_any = palette.any_bass > 0 and rng.random() < palette.any_bass
    programs = EVERY_PROGRAM if is_any else BASS_PROGRAMS
    dry = _render_instrument(score.bass, programs, palette=palette, rng=rng, duration_s=score.duration_s)
    mono = dry.mean(0, keepdims=True).repeat(2, 0) if rng.random() < 0.8 else dry
    return effects.add_random_effects(mono, rng=rng, wet=0.1)


def render_others(score: Score, *, palette: Palette, rng: np.random.Generator) -> Audio:
    out = np.zeros((2, round(score.duration_s * SAMPLE_RATE_HZ)), np.float32)
    for part in score.others:
        track = _render_part(part, palette=palette, rng=rng, duration_s=score.duration_s)
        placed = effects.pan(track, position=float(np.clip(rng.normal(0, 0.45), -0.9, 0.9)))
        out += effects.set_level(placed, rms_db=-20.0 + float(rng.normal(0, 3)))
    return out


def _render_part(part: Part, *, palette: Palette, rng: np.random.Generator, duration_s: float) -> Audio:
    """Render a part. In varied palettes two instruments sometimes double it."""
    programs = PROGRAMS[part.role]
    if palette.varied and rng.random() < 0.2:
        programs = EVERY_PROGRAM
    dry = _render_instrument(part, programs, palette=palette, rng=rng, duration_s=duration_s)
    if palette.varied and rng.random() < 0.25:
        second = _render_instrument(part, programs, palette=palette, rng=rng, duration_s=duration_s)
        dry = effects.set_level(dry, rms_db=-20.0) + effects.set_level(
            second, rms_db=float(rng.uniform(-32, -20))
        )
    return effects.add_random_effects(dry, rng=rng, wet=0.5)


def _render_instrument(
    part: Part,
    programs: Sequence[int],
    *,
    palette: Palette,
    rng: np.random.Generator,
    duration_s: float,
) -> Audio:
    """Render a part with an additive instrument, an oscillator or a soundfont."""
    is_bass = part.role == "bass"
    oscillator_chance = palette.oscillator_bass if is_bass else palette.oscillators
    if palette.additive > 0 and rng.random() < palette.additive:
        instrument = additive.Instrument.draw(rng)
        dry = additive.play(part.notes, instrument=instrument, rng=rng, duration_s=duration_s)
    elif palette.synthetic and rng.random() < oscillator_chance:
        patch = oscillators.Patch.draw(rng, bass=is_bass)
        dry = oscillators.play(part.notes, patch=patch, duration_s=duration_s)
    else:
        player, program = open_player(str(rng.choice(palette.fonts))), int(rng.choice(programs))
        variation = PresetVariation.draw(rng, semitones=4.0) if palette.varied else UNCHANGED
        dry = player.play(part.notes, bank=0, program=program, duration_s=duration_s, variation=variation)
    if palette.varied:
        dry = effects.vary_timbre(dry, rng=rng, chorus_chance=0.1 if is_bass else 0.2)
    return dry


def open_player(font: str) -> SoundfontPlayer | TimidityPlayer:
    return TimidityPlayer() if font == FREEPATS else SoundfontPlayer(font)


def mix_takes(stems: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mix stems `[3 + takes, 2, samples]` with each take of the vocals: `[takes, 2, samples]`."""
    others = len(STEMS) - 1
    return np.asarray(stems[:others].sum(0) + stems[others:])


def _limit_peak(stems: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale the stems so that neither a stem nor a mixture exceeds the peak."""
    peak = max(float(np.abs(mix_takes(stems)).max()), float(np.abs(stems).max()))
    return (stems * min(1.0, _PEAK / (peak + 1e-9))).astype(np.float32)
