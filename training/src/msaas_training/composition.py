"""Random composition: draws a style, a key and a chord progression, and writes the parts of a song."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from msaas_training.notes import Note, Part, Score
from msaas_training.styles import CRASH, HIGH_TOM, KICK, LOW_TOM, MID_TOM, SNARE, STYLES, Style

BEATS = 4
STEPS = 16
MAJOR = (0, 2, 4, 5, 7, 9, 11)
MINOR = (0, 2, 3, 5, 7, 8, 10)
#: Scale degrees, one chord a bar.
PROGRESSIONS = (
    (0, 4, 5, 3),
    (0, 5, 3, 4),
    (5, 3, 0, 4),
    (0, 3, 4, 3),
    (1, 4, 0, 0),
    (0, 5, 1, 4),
    (0, 6, 5, 6),
    (0, 2, 3, 4),
    (0, 0, 3, 4),
    (3, 4, 2, 5),
    (0, 3, 0, 4),
    (5, 4, 3, 4),
    (0, 6, 3, 0),
    (0, 0, 0, 0),
)
#: Steps of the notes, note length in steps, and chord tones played in turn (3 is the upper octave).
BASS_FIGURES: dict[str, tuple[tuple[int, ...], float, tuple[int, ...]]] = {
    "roots": ((0, 8), 7.0, (0, 0)),
    "long": ((0,), 15.0, (0,)),
    "eighths": ((0, 2, 4, 6, 8, 10, 12, 14), 1.8, (0, 0, 0, 0, 0, 0, 0, 1)),
    "sixteenths": (tuple(range(16)), 0.9, (0,)),
    "offbeat": ((2, 6, 10, 14), 1.6, (0, 0, 0, 3)),
    "octaves": ((0, 2, 4, 6, 8, 10, 12, 14), 1.2, (0, 3)),
    "syncopated": ((0, 3, 6, 10, 12), 2.0, (0, 0, 2, 3, 0)),
    "slap": ((0, 3, 4, 7, 10, 11, 14), 0.9, (0, 3, 0, 0, 2, 3, 0)),
    "slide": ((0, 6, 11), 4.5, (0, 0, 2)),
    "fifths": ((0, 6, 8, 14), 3.5, (0, 2, 2, 0)),
    "walk": ((0, 4, 8, 12), 3.6, (0, 1, 2, 1)),
    "dub": ((0, 3, 6, 9), 2.4, (0, 0, 1, 2)),
}
CHORD_FIGURES: dict[str, tuple[tuple[int, ...], float]] = {
    "comp": ((0, 6, 10), 4.0),
    "strum": ((0, 4, 6, 10, 12, 14), 2.6),
    "power": ((0, 2, 4, 6, 8, 10, 12, 14), 1.9),
    "stabs": ((3, 6, 11), 1.2),
    "skank": ((2, 6, 10, 14), 1.0),
    "scratch": ((0, 3, 5, 6, 9, 11, 14), 0.6),
    "pad": ((0,), 16.0),
    "organ": ((0, 8), 7.8),
}


@dataclass(frozen=True, kw_only=True)
class Harmony:
    """Key, scale and chord progression. Degrees count from 0."""

    tonic: int
    scale: tuple[int, ...]
    progression: tuple[int, ...]
    sevenths: bool

    def degree(self, index: int) -> int:
        """Return the pitch of a scale degree. Degrees above the scale continue in the next octave."""
        octave, step = divmod(index, len(self.scale))
        return self.tonic + 12 * octave + self.scale[step]

    def chord(self, bar: int) -> list[int]:
        """Return the pitches of the chord of a bar."""
        root = self.progression[bar % len(self.progression)]
        return [self.degree(root + third) for third in ((0, 2, 4, 6) if self.sevenths else (0, 2, 4))]


@dataclass(frozen=True)
class Clock:
    """Converts bars and steps to seconds. Odd steps are delayed by the swing."""

    beat_s: float
    swing: float

    @property
    def step_s(self) -> float:
        return self.beat_s / 4

    def time_s(self, bar: int, step: float) -> float:
        delay = self.swing if int(step) % 2 else 0.0
        return (bar * STEPS + step + delay) * self.step_s


def compose(rng: np.random.Generator, *, duration_s: float, style: str | None = None) -> Score:
    """Compose a song of `duration_s` seconds. Without `style` the style is random."""
    chosen = next((s for s in STYLES if s.name == style), None) or STYLES[rng.integers(len(STYLES))]
    clock = Clock(60.0 / rng.uniform(*chosen.tempo_bpm), chosen.swing)
    bars = int(np.ceil(duration_s / (BEATS * clock.beat_s)))
    harmony = draw_harmony(rng, minor=chosen.minor)
    figures = list(rng.permutation(np.array(chosen.others)))[: rng.integers(1, 1 + len(chosen.others))]
    return Score(
        style=chosen.name,
        tonic=harmony.tonic,
        is_minor=harmony.scale == MINOR,
        beat_s=clock.beat_s,
        duration_s=duration_s,
        drums=Part.from_notes("drums", drum_notes(rng, style=chosen, clock=clock, bars=bars)),
        bass=Part.from_notes("bass", bass_notes(rng, style=chosen, clock=clock, bars=bars, harmony=harmony)),
        others=tuple(
            compose_part(rng, figure=str(f), clock=clock, bars=bars, harmony=harmony) for f in figures
        ),
        melody=Part.from_notes(
            "melody", melody_notes(rng, clock=clock, bars=bars, harmony=harmony, rest=0.25)
        ),
    )


def draw_harmony(rng: np.random.Generator, *, minor: float) -> Harmony:
    scale = MINOR if rng.random() < minor else MAJOR
    progression = PROGRESSIONS[rng.integers(len(PROGRESSIONS))]
    tonic = int(rng.integers(0, 12))
    return Harmony(tonic=tonic, scale=scale, progression=progression, sevenths=bool(rng.random() < 0.35))


def drum_notes(rng: np.random.Generator, *, style: Style, clock: Clock, bars: int) -> Iterator[Note]:
    grids = [style.grids[i] for i in rng.integers(len(style.grids), size=2)]
    for bar in range(bars):
        if bar % 4 == 3 and rng.random() < 0.5:
            yield from fill_notes(rng, clock=clock, bar=bar)
        yield from grid_notes(rng, grid=grids[(bar // 4) % 2], clock=clock, bar=bar)
        if bar % 8 == 0 and rng.random() < 0.6:
            yield Note(clock.time_s(bar, 0), 1.0, CRASH, int(rng.integers(80, 120)))


def grid_notes(rng: np.random.Generator, *, grid: dict[int, str], clock: Clock, bar: int) -> Iterator[Note]:
    chance = {"x": 0.98, "o": 0.85, "?": 0.35}
    for key, steps in grid.items():
        for step, mark in enumerate(steps):
            if rng.random() < chance.get(mark, 0.01 if key in (KICK, SNARE) else 0.0):
                velocity = rng.normal(62 if mark == "o" else 100, 9)
                start = clock.time_s(bar, step) + rng.normal(0, 0.004)
                yield Note(max(0.0, start), 0.2, key, int(np.clip(velocity, 20, 127)))


def fill_notes(rng: np.random.Generator, *, clock: Clock, bar: int) -> Iterator[Note]:
    for step in range(int(rng.choice([8, 12])), STEPS):
        if rng.random() < 0.7:
            key = int(rng.choice([SNARE, HIGH_TOM, MID_TOM, LOW_TOM]))
            yield Note(clock.time_s(bar, step), 0.2, key, int(rng.integers(70, 120)))


def bass_notes(
    rng: np.random.Generator, *, style: Style, clock: Clock, bars: int, harmony: Harmony
) -> Iterator[Note]:
    steps, length, walk = BASS_FIGURES[str(rng.choice(np.array(style.bass)))]
    lowest = int(rng.integers(26, 35))
    for bar in range(bars):
        tones = [*harmony.chord(bar)[:3], harmony.chord(bar)[0] + 12]
        base = lowest + (tones[0] - lowest) % 12
        for index, step in enumerate(steps):
            if rng.random() < 0.06:
                continue
            pitch = base + tones[walk[index % len(walk)]] - tones[0]
            yield humanize_note(
                rng, start_s=clock.time_s(bar, step), length_s=length * clock.step_s, pitch=pitch
            )


def compose_part(rng: np.random.Generator, *, figure: str, clock: Clock, bars: int, harmony: Harmony) -> Part:
    if figure in CHORD_FIGURES:
        notes = chord_notes(rng, figure=figure, clock=clock, bars=bars, harmony=harmony)
    elif figure == "arpeggio":
        notes = arpeggio_notes(rng, clock=clock, bars=bars, harmony=harmony)
    elif figure == "riff":
        notes = riff_notes(rng, clock=clock, bars=bars, harmony=harmony)
    else:
        notes = melody_notes(rng, clock=clock, bars=bars, harmony=harmony, rest=0.5)
    return Part.from_notes(figure, notes)


def chord_notes(
    rng: np.random.Generator, *, figure: str, clock: Clock, bars: int, harmony: Harmony
) -> Iterator[Note]:
    steps, length = CHORD_FIGURES[figure]
    lowest = int(rng.integers(38, 46)) if figure == "power" else int(rng.integers(48, 62))
    strum_s = float(rng.uniform(0.008, 0.025)) if figure == "strum" else 0.0
    for bar in range(bars):
        tones = harmony.chord(bar)
        pitches = [tones[0], tones[0] + 7, tones[0] + 12] if figure == "power" else tones
        for step in steps:
            if rng.random() < 0.1:
                continue
            for voice, pitch in enumerate(sorted(lowest + (p - lowest) % 12 for p in pitches)):
                start = clock.time_s(bar, step) + voice * strum_s
                yield humanize_note(rng, start_s=start, length_s=length * clock.step_s, pitch=pitch)


def arpeggio_notes(rng: np.random.Generator, *, clock: Clock, bars: int, harmony: Harmony) -> Iterator[Note]:
    every = int(rng.choice([1, 2]))
    lowest = int(rng.integers(55, 68))
    order = rng.permutation(6)
    for bar in range(bars):
        tones = sorted(lowest + (p - lowest) % 12 for p in harmony.chord(bar))
        ladder = [*tones, *(t + 12 for t in tones)]
        for count, step in enumerate(range(0, STEPS, every)):
            pitch = ladder[order[count % len(order)] % len(ladder)]
            yield humanize_note(
                rng, start_s=clock.time_s(bar, step), length_s=every * clock.step_s * 0.9, pitch=pitch
            )


def riff_notes(rng: np.random.Generator, *, clock: Clock, bars: int, harmony: Harmony) -> Iterator[Note]:
    steps = sorted(rng.choice(STEPS, size=int(rng.integers(4, 9)), replace=False))
    degrees = rng.integers(0, 6, size=len(steps))
    lowest = int(rng.integers(40, 62))
    for bar in range(bars):
        for step, degree in zip(steps, degrees, strict=True):
            pitch = lowest + (harmony.degree(int(degree)) - lowest) % 12
            yield humanize_note(
                rng, start_s=clock.time_s(bar, step), length_s=1.7 * clock.step_s, pitch=pitch
            )


def melody_notes(
    rng: np.random.Generator, *, clock: Clock, bars: int, harmony: Harmony, rest: float
) -> Iterator[Note]:
    """Yield phrases of 10 to 27 steps with rests between them.

    The melody moves mostly by step, over a range of a tenth. `rest` is the probability of a long rest.
    """
    register = int(rng.integers(43, 68))
    home = register + (harmony.tonic - register) % 12 - harmony.tonic
    degree, step, end = int(rng.integers(0, 7)), int(rng.integers(0, 8)), bars * STEPS
    while step < end:
        phrase_end = min(end, step + int(rng.integers(10, 28)))
        while step < phrase_end:
            length = int(rng.choice([1, 2, 2, 2, 3, 4, 4, 6, 8]))
            start_s = clock.time_s(step // STEPS, step % STEPS)
            pitch = home + harmony.degree(degree)
            yield humanize_note(rng, start_s=start_s, length_s=length * clock.step_s * 0.95, pitch=pitch)
            degree = int(np.clip(degree + rng.choice([-2, -1, -1, 0, 1, 1, 2, 4, -4]), -2, 9))
            step += length
        step += int(rng.integers(2, 10)) if rng.random() > rest else int(rng.integers(10, 24))


def humanize_note(rng: np.random.Generator, *, start_s: float, length_s: float, pitch: int) -> Note:
    """Build a note with small random deviations in start and velocity."""
    start = max(0.0, start_s + rng.normal(0, 0.004))
    return Note(start, max(0.04, length_s), int(pitch), int(np.clip(rng.normal(92, 12), 30, 127)))
