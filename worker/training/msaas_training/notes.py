"""A note is a start, a length, a pitch and a velocity; a part is an instrument and its notes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SAMPLE_RATE_HZ = 44_100


@dataclass(frozen=True)
class Note:
    """Times in seconds, pitch and velocity as MIDI has them."""

    start_s: float
    length_s: float
    pitch: int
    velocity: int

    @property
    def end_s(self) -> float:
        return self.start_s + self.length_s

    @property
    def frequency_hz(self) -> float:
        return float(440.0 * 2 ** ((self.pitch - 69) / 12))


@dataclass(frozen=True)
class Part:
    """`role` names what the part does in the song (drums, bass, comp, pad, riff, lead, arpeggio, melody)."""

    role: str
    notes: tuple[Note, ...]

    @classmethod
    def of(cls, role: str, notes: Iterable[Note]) -> Part:
        return cls(role, tuple(sorted(notes, key=lambda note: note.start_s)))


@dataclass(frozen=True)
class Score:
    """A whole song on paper."""

    style: str
    beat_s: float
    duration_s: float
    drums: Part
    bass: Part
    others: tuple[Part, ...]
    melody: Part
