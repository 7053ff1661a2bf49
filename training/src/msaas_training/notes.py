"""Notes, parts and scores: the symbolic form of a song."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SAMPLE_RATE_HZ = 44_100


@dataclass(frozen=True)
class Note:
    """A note: times in seconds, pitch and velocity as MIDI numbers."""

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
    """The notes of one part, sorted by start.

    `role` is its function in the song: drums, bass, comp, pad, riff, lead, arpeggio, melody and others.
    """

    role: str
    notes: tuple[Note, ...]

    @classmethod
    def from_notes(cls, role: str, notes: Iterable[Note]) -> Part:
        return cls(role, tuple(sorted(notes, key=lambda note: note.start_s)))


@dataclass(frozen=True, kw_only=True)
class Score:
    """All parts of a song. `tonic` is the pitch class of its key, 0 for C. Minor is natural minor."""

    style: str
    tonic: int
    is_minor: bool
    beat_s: float
    duration_s: float
    drums: Part
    bass: Part
    others: tuple[Part, ...]
    melody: Part
