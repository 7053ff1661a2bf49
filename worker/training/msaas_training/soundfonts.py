"""A sampler plays notes with the instruments of a soundfont."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
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


class Sampler:
    """Loading a font takes seconds, so a process keeps each one it has used (see `sampler`)."""

    def __init__(self, font: str) -> None:
        self._synth = fluidsynth.Synth(
            gain=0.5,
            samplerate=float(SAMPLE_RATE_HZ),
            **{"synth.dynamic-sample-loading": 1, "synth.reverb.active": 0, "synth.chorus.active": 0},
        )
        self._font = self._synth.sfload(str(FONT_FOLDER / font))
        if self._font < 0:
            raise FileNotFoundError(FONT_FOLDER / font)

    def play(self, notes: Sequence[Note], *, bank: int, program: int, duration_s: float) -> Audio:
        """`[2, samples]`; notes that ring past the end are cut."""
        self._synth.system_reset()
        self._synth.program_select(_CHANNEL, self._font, *self._nearest(bank, program))
        self._synth.cc(_CHANNEL, _PAN_CC, 64)
        return self._pull(_events(notes), total=round(duration_s * SAMPLE_RATE_HZ))

    def _nearest(self, bank: int, program: int) -> tuple[int, int]:
        """Small fonts lack some kits, and fonts of drums alone keep theirs in bank 0."""
        wanted = ((bank, program), (bank, 0), (0, 0))
        return next(key for key in wanted if self._synth.sfpreset_name(self._font, *key))

    def _pull(self, events: list[tuple[int, int, int]], *, total: int) -> Audio:
        blocks, now = [], 0
        for at, pitch, velocity in [*events, (total, 0, -1)]:
            at = min(at, total)
            if at > now:
                blocks.append(self._synth.get_samples(at - now))
                now = at
            if velocity > 0:
                self._synth.noteon(_CHANNEL, pitch, velocity)
            elif velocity == 0:
                self._synth.noteoff(_CHANNEL, pitch)
        self._synth.all_sounds_off(_CHANNEL)
        samples = np.concatenate(blocks).reshape(-1, 2).T
        return (samples / 32768.0).astype(np.float32)


def _events(notes: Sequence[Note]) -> list[tuple[int, int, int]]:
    """(sample, pitch, velocity), velocity 0 for the end of a note; ends come before starts."""
    starts = [(round(n.start_s * SAMPLE_RATE_HZ), n.pitch, n.velocity) for n in notes]
    ends = [(round(n.end_s * SAMPLE_RATE_HZ), n.pitch, 0) for n in notes]
    return sorted(starts + ends, key=lambda event: (event[0], event[2] > 0))


@cache
def sampler(font: str) -> Sampler:
    return Sampler(font)
