"""A song is four stems: a score played by the instruments and voices of one palette."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from msaas_training import drumkits, effects, imagined, oscillators, shells, vocals
from msaas_training.composition import compose
from msaas_training.effects import Audio
from msaas_training.notes import SAMPLE_RATE_HZ, Part, Score
from msaas_training.palettes import BASS_PROGRAMS, DRUM_PROGRAMS, EVERY_PROGRAM, FREEPATS, PROGRAMS, Palette
from msaas_training.patches import Patches
from msaas_training.soundfonts import AS_IT_IS, DRUM_BANK, Bend, Sampler

#: The order demucs has.
STEMS = ("drums", "bass", "other", "vocals")
#: How loud a stem usually stands in a mix, dB below full scale, and how far that moves.
_LEVELS_DB = {"drums": -21.0, "bass": -22.0, "other": -22.0, "vocals": -21.0}
_LEVEL_SPREAD_DB = 2.5
_PEAK = 0.95


@dataclass(frozen=True)
class Song:
    """`stems` is `[4, 2, samples]`, float32, in the order of `STEMS`; the mixture is their sum.

    Where vocals were taken more than once it is `[3 + takes, 2, samples]`; one take belongs to a mixture.
    """

    style: str
    stems: NDArray[np.float32]


def make_song(*, seed: Sequence[int], palette: Palette, duration_s: float, style: str | None = None) -> Song:
    rng = np.random.default_rng(list(seed))
    score = compose(rng, duration_s=duration_s, style=style)
    tracks = {
        "drums": drums(score, palette=palette, rng=rng),
        "bass": bass(score, palette=palette, rng=rng),
        "other": others(score, palette=palette, rng=rng),
        "vocals": vocals.sing(score.melody.notes, cast=palette.cast, rng=rng, duration_s=duration_s),
    }
    levelled = [
        effects.level(tracks[stem], rms_db=_LEVELS_DB[stem] + rng.normal(0, _LEVEL_SPREAD_DB))
        for stem in STEMS
    ]
    if palette.recast:
        first = levelled.pop()
        levelled += [
            _again(first, score=score, cast=cast, seed=(*seed, take))
            for take, cast in enumerate(palette.recast, 1)
        ]
    return Song(score.style, _within_scale(np.stack(levelled)))


def _again(vocal: Audio, *, score: Score, cast: vocals.Cast, seed: Sequence[int]) -> Audio:
    """The same melody, as loud, by other singers.

    Company and effects are drawn anew, so that only many songs together tell what voices cost.
    """
    rng = np.random.default_rng(list(seed))
    again = vocals.sing(score.melody.notes, cast=cast, rng=rng, duration_s=score.duration_s)
    return again * np.float32(np.sqrt((vocal**2).mean() / ((again**2).mean() + 1e-12)))


def drums(score: Score, *, palette: Palette, rng: np.random.Generator) -> Audio:
    notes, duration_s = score.drums.notes, score.duration_s
    if palette.imagined_kits > 0 and rng.random() < palette.imagined_kits:
        dry = shells.play(notes, rng=rng, duration_s=duration_s)
    elif palette.varied and rng.random() < palette.mixed_kits:
        recorded = float(rng.choice([0.0, 0.7, 1.0]))
        dry = drumkits.play(notes, rng=rng, duration_s=duration_s, recorded=recorded, kits=palette.hits)
    elif palette.synthetic and rng.random() < 0.35:
        dry = drumkits.play(notes, rng=rng, duration_s=duration_s)
    else:
        program = int(rng.choice(DRUM_PROGRAMS))
        font = player(str(rng.choice(palette.drum_fonts)))
        bend = Bend.drawn(rng, semitones=2.0) if palette.varied else AS_IT_IS
        dry = font.play(notes, bank=DRUM_BANK, program=program, duration_s=duration_s, bend=bend)
    if palette.varied:
        dry = effects.remade(dry, rng=rng, moving=0.05)
    return effects.dressed(dry, rng=rng, wet=0.4)


def bass(score: Score, *, palette: Palette, rng: np.random.Generator) -> Audio:
    is_any = palette.any_bass > 0 and rng.random() < palette.any_bass
    programs = EVERY_PROGRAM if is_any else BASS_PROGRAMS
    dry = _played(score.bass, programs, palette=palette, rng=rng, duration_s=score.duration_s)
    mono = dry.mean(0, keepdims=True).repeat(2, 0) if rng.random() < 0.8 else dry
    return effects.dressed(mono, rng=rng, wet=0.1)


def others(score: Score, *, palette: Palette, rng: np.random.Generator) -> Audio:
    out = np.zeros((2, round(score.duration_s * SAMPLE_RATE_HZ)), np.float32)
    for part in score.others:
        track = _other(part, palette=palette, rng=rng, duration_s=score.duration_s)
        placed = effects.pan(track, position=float(np.clip(rng.normal(0, 0.45), -0.9, 0.9)))
        out += effects.level(placed, rms_db=-20.0 + float(rng.normal(0, 3)))
    return out


def _other(part: Part, *, palette: Palette, rng: np.random.Generator, duration_s: float) -> Audio:
    programs = PROGRAMS[part.role]
    if palette.varied and rng.random() < 0.2:
        programs = EVERY_PROGRAM
    dry = _played(part, programs, palette=palette, rng=rng, duration_s=duration_s)
    if palette.varied and rng.random() < 0.25:
        second = _played(part, programs, palette=palette, rng=rng, duration_s=duration_s)
        dry = effects.level(dry, rms_db=-20.0) + effects.level(second, rms_db=float(rng.uniform(-32, -20)))
    return effects.dressed(dry, rng=rng, wet=0.5)


def _played(
    part: Part,
    programs: Sequence[int],
    *,
    palette: Palette,
    rng: np.random.Generator,
    duration_s: float,
) -> Audio:
    """A part by one instrument, an imagined one, or an oscillator."""
    is_bass = part.role == "bass"
    oscillating = palette.oscillating_bass if is_bass else palette.oscillating
    if palette.imagined > 0 and rng.random() < palette.imagined:
        instrument = imagined.Instrument.drawn(rng)
        dry = imagined.play(part.notes, instrument=instrument, rng=rng, duration_s=duration_s)
    elif palette.synthetic and rng.random() < oscillating:
        patch = oscillators.Patch.drawn(rng, bass=is_bass)
        dry = oscillators.play(part.notes, patch=patch, duration_s=duration_s)
    else:
        font, program = player(str(rng.choice(palette.fonts))), int(rng.choice(programs))
        bend = Bend.drawn(rng, semitones=4.0) if palette.varied else AS_IT_IS
        dry = font.play(part.notes, bank=0, program=program, duration_s=duration_s, bend=bend)
    if palette.varied:
        dry = effects.remade(dry, rng=rng, moving=0.1 if is_bass else 0.2)
    return dry


def player(font: str) -> Sampler | Patches:
    return Patches() if font == FREEPATS else Sampler(font)


def mixtures(stems: NDArray[np.float32]) -> NDArray[np.float32]:
    """`[3 + takes, 2, samples]` to the mixture with each take of the vocals, `[takes, 2, samples]`."""
    band = len(STEMS) - 1
    return np.asarray(stems[:band].sum(0) + stems[band:])


def _within_scale(stems: NDArray[np.float32]) -> NDArray[np.float32]:
    peak = max(float(np.abs(mixtures(stems)).max()), float(np.abs(stems).max()))
    return (stems * min(1.0, _PEAK / (peak + 1e-9))).astype(np.float32)
