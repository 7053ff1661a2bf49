"""A sampler plays notes with the instruments of a soundfont."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import fluidsynth
import numpy as np

from msaas_training.effects import Audio
from msaas_training.notes import SAMPLE_RATE_HZ, Note

FONT_FOLDER = Path("/usr/share/sounds")
DRUM_BANK = 128
#: Any channel but the tenth: fonts made of drums alone are silent there.
_CHANNEL = 0
_PAN_CC = 10
#: Generators of a SoundFont (2.04, section 8.1.3) and how NRPN moves them (9.6): cents and timecents by two.
_COARSE_TUNE, _FILTER_CENTS, _FILTER_Q, _ATTACK, _DECAY, _RELEASE = 51, 8, 9, 34, 36, 38
_NRPN_MIDDLE, _NRPN_SOUNDFONT = 8192, 120


@dataclass(frozen=True)
class Bend:
    """How an instrument sounds other than its font has it: `moved` generators, by NRPN's steps.

    With `semitones` its notes are played by the samples of keys so much lower, tuned up: another body.
    """

    semitones: int = 0
    moved: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def drawn(cls, rng: np.random.Generator, *, semitones: float) -> Bend:
        """Half of the instruments have another body, fewer another filter, attack or ending."""
        moved: dict[int, int] = {}
        if rng.random() < 0.35:
            moved |= {_FILTER_CENTS: -int(rng.uniform(300, 2000)), _FILTER_Q: int(rng.uniform(0, 160))}
        if rng.random() < 0.25:
            moved[_ATTACK] = int(rng.uniform(500, 3600))
        if rng.random() < 0.3:
            moved |= {_DECAY: int(rng.normal(0, 900)), _RELEASE: int(rng.normal(0, 900))}
        return cls(round(rng.normal(0, semitones)) if rng.random() < 0.5 else 0, moved)


AS_IT_IS = Bend()


@dataclass(frozen=True)
class Sampler:
    """One soundfont. Each part gets a synth of its own, for a used one begins otherwise."""

    font: str

    def play(
        self, notes: Sequence[Note], *, bank: int, program: int, duration_s: float, bend: Bend = AS_IT_IS
    ) -> Audio:
        """`[2, samples]`; notes that ring past the end are cut.

        Raises:
            FileNotFoundError: the font is not installed.
        """
        # A key of a drum kit is an instrument: a kit is tuned as it is.
        keys_down = 0 if bank == DRUM_BANK else bend.semitones
        with _synth(self.font) as (synth, font):
            synth.program_select(_CHANNEL, font, *_nearest(synth, font, (bank, program)))
            synth.cc(_CHANNEL, _PAN_CC, 64)
            _bend(synth, bend)
            return _pull(synth, events(notes, keys_down=keys_down), total=round(duration_s * SAMPLE_RATE_HZ))


@contextmanager
def _synth(name: str) -> Iterator[tuple[fluidsynth.Synth, int]]:
    """A synth with a font, and the font's number; the samples are read when a program asks for them."""
    synth = fluidsynth.Synth(
        gain=0.5,
        samplerate=float(SAMPLE_RATE_HZ),
        **{"synth.dynamic-sample-loading": 1, "synth.reverb.active": 0, "synth.chorus.active": 0},
    )
    try:
        font = synth.sfload(str(FONT_FOLDER / name))
        if font < 0:
            raise FileNotFoundError(FONT_FOLDER / name)
        yield synth, font
    finally:
        synth.delete()


def _bend(synth: fluidsynth.Synth, bend: Bend) -> None:
    for generator, steps in {**bend.moved, _COARSE_TUNE: bend.semitones}.items():
        value = _NRPN_MIDDLE + steps
        for controller, byte in ((99, _NRPN_SOUNDFONT), (98, generator), (38, value & 127), (6, value >> 7)):
            synth.cc(_CHANNEL, controller, byte)


def _nearest(synth: fluidsynth.Synth, font: int, wanted: tuple[int, int]) -> tuple[int, int]:
    """Small fonts lack some kits, and fonts of drums alone keep theirs in bank 0."""
    bank, _ = wanted
    return next(key for key in (wanted, (bank, 0), (0, 0)) if synth.sfpreset_name(font, *key))


def _pull(synth: fluidsynth.Synth, due: list[tuple[int, int, int]], *, total: int) -> Audio:
    blocks, now = [], 0
    for at, pitch, velocity in [*due, (total, 0, -1)]:
        at = min(at, total)
        if at > now:
            blocks.append(synth.get_samples(at - now))
            now = at
        if velocity > 0:
            synth.noteon(_CHANNEL, pitch, velocity)
        elif velocity == 0:
            synth.noteoff(_CHANNEL, pitch)
    samples = np.concatenate(blocks).reshape(-1, 2).T
    return (samples / 32768.0).astype(np.float32)


def events(notes: Sequence[Note], *, keys_down: int) -> list[tuple[int, int, int]]:
    """As (sample, key, velocity), velocity 0 for the end of a note; ends come before starts."""
    keyed = [(n, min(127, max(0, n.pitch - keys_down))) for n in notes]
    starts = [(round(n.start_s * SAMPLE_RATE_HZ), key, n.velocity) for n, key in keyed]
    ends = [(round(n.end_s * SAMPLE_RATE_HZ), key, 0) for n, key in keyed]
    return sorted(starts + ends, key=lambda event: (event[0], event[2] > 0))
