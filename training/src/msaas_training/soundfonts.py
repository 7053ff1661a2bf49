"""Plays notes with the instruments of a soundfont (FluidSynth)."""

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
#: Channel 10 is silent with fonts that contain only drums.
_CHANNEL = 0
_PAN_CC = 10
#: SoundFont 2.04 generators (section 8.1.3). Cents and timecents move by 2 per NRPN step (section 9.6).
_COARSE_TUNE, _FILTER_CENTS, _FILTER_Q, _ATTACK, _DECAY, _RELEASE = 51, 8, 9, 34, 36, 38
_NRPN_CENTRE, _NRPN_SOUNDFONT = 8192, 120


@dataclass(frozen=True)
class PresetVariation:
    """A change to a preset: offsets of SoundFont generators in NRPN steps.

    With `semitones`, notes are played with the samples of keys that many semitones lower, tuned up. This
    moves the formants of the instrument.
    """

    semitones: int = 0
    generator_offsets: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def draw(cls, rng: np.random.Generator, *, semitones: float) -> PresetVariation:
        """Draw a variation. Half of them move the key, fewer change filter, attack, decay or release."""
        generator_offsets: dict[int, int] = {}
        if rng.random() < 0.35:
            generator_offsets |= {
                _FILTER_CENTS: -int(rng.uniform(300, 2000)),
                _FILTER_Q: int(rng.uniform(0, 160)),
            }
        if rng.random() < 0.25:
            generator_offsets[_ATTACK] = int(rng.uniform(500, 3600))
        if rng.random() < 0.3:
            generator_offsets |= {_DECAY: int(rng.normal(0, 900)), _RELEASE: int(rng.normal(0, 900))}
        return cls(round(rng.normal(0, semitones)) if rng.random() < 0.5 else 0, generator_offsets)


UNCHANGED = PresetVariation()


@dataclass(frozen=True)
class SoundfontPlayer:
    """Plays one soundfont. Every part uses a new synthesiser, because a used one keeps state."""

    font: str

    def play(
        self,
        notes: Sequence[Note],
        *,
        bank: int,
        program: int,
        duration_s: float,
        variation: PresetVariation = UNCHANGED,
    ) -> Audio:
        """Render notes to `[2, samples]`. Sound after `duration_s` is cut.

        Raises:
            FileNotFoundError: the soundfont is not installed.
        """
        # In a drum kit every key is another instrument, so kits are tuned only.
        keys_down = 0 if bank == DRUM_BANK else variation.semitones
        with _synth(self.font) as (synth, font):
            synth.program_select(_CHANNEL, font, *_find_preset(synth, font, (bank, program)))
            synth.cc(_CHANNEL, _PAN_CC, 64)
            _apply(synth, variation)
            return _render(
                synth, midi_events(notes, keys_down=keys_down), total=round(duration_s * SAMPLE_RATE_HZ)
            )


@contextmanager
def _synth(name: str) -> Iterator[tuple[fluidsynth.Synth, int]]:
    """Open a synthesiser with a loaded soundfont, and yield both. Samples are loaded on program selection."""
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


def _apply(synth: fluidsynth.Synth, variation: PresetVariation) -> None:
    for generator, steps in {**variation.generator_offsets, _COARSE_TUNE: variation.semitones}.items():
        value = _NRPN_CENTRE + steps
        for controller, byte in ((99, _NRPN_SOUNDFONT), (98, generator), (38, value & 127), (6, value >> 7)):
            synth.cc(_CHANNEL, controller, byte)


def _find_preset(synth: fluidsynth.Synth, font: int, wanted: tuple[int, int]) -> tuple[int, int]:
    """Return the wanted preset or a substitute: small fonts lack some kits, drum fonts use bank 0."""
    bank, _ = wanted
    return next(key for key in (wanted, (bank, 0), (0, 0)) if synth.sfpreset_name(font, *key))


def _render(synth: fluidsynth.Synth, events: list[tuple[int, int, int]], *, total: int) -> Audio:
    blocks, now = [], 0
    for at, pitch, velocity in [*events, (total, 0, -1)]:
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


def midi_events(notes: Sequence[Note], *, keys_down: int) -> list[tuple[int, int, int]]:
    """Return `(sample, key, velocity)` in time order, with velocity 0 for note-off. Note-offs come first."""
    keyed = [(n, min(127, max(0, n.pitch - keys_down))) for n in notes]
    starts = [(round(n.start_s * SAMPLE_RATE_HZ), key, n.velocity) for n, key in keyed]
    ends = [(round(n.end_s * SAMPLE_RATE_HZ), key, 0) for n, key in keyed]
    return sorted(starts + ends, key=lambda event: (event[0], event[2] > 0))
