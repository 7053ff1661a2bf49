"""Separation with the quick engine in this process, without a queue and a store."""

from dataclasses import dataclass, field
from pathlib import Path

from msaas.recipe import Recipe
from msaas_worker.attempt import UnattendedAttempt
from msaas_worker.separation import separate_song
from tests.faults.quick_engine import QuickSeparator


@dataclass
class MemorySink:
    """Implements `Sink`."""

    stems: dict[str, bytes] = field(default_factory=dict)
    peaks: dict[str, bytes] = field(default_factory=dict)
    analysis: bytes = b""
    takes_analysis = True

    def put_stem(self, stem: str, file: Path, *, peaks: bytes) -> None:
        self.stems[stem], self.peaks[stem] = file.read_bytes(), peaks

    def put_analysis(self, analysis: bytes) -> None:
        self.analysis = analysis


def separate_in_memory(mp3: bytes, folder: Path) -> MemorySink:
    """Return the result that a worker with the quick engine makes of a song."""
    song, sink = folder / "song.mp3", MemorySink()
    song.write_bytes(mp3)
    separator = QuickSeparator(model="htdemucs")
    separate_song(song, Recipe(), separator, sink, UnattendedAttempt(), max_duration_s=600)
    return sink


def stems_of(mp3: bytes, folder: Path) -> dict[str, bytes]:
    """Return the stems of that result."""
    return separate_in_memory(mp3, folder).stems
