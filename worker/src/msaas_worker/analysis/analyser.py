"""The analysis of one song: loudness of the song, key of its harmonic stems, tempo and beats of its drums."""

import json
from typing import Any

from msaas_worker.analysis.harmony import PitchMeter
from msaas_worker.analysis.keys import find_key
from msaas_worker.analysis.loudness import LoudnessMeter
from msaas_worker.analysis.onsets import OnsetMeter
from msaas_worker.analysis.rhythm import find_rhythm
from msaas_worker.audio.decoded import SAMPLERATE, Audio

_VERSION = 1
_DRUMS = "drums"
#: Stems without chords.
_UNPITCHED = (_DRUMS, "vocals")


class SongAnalyser:
    """Analyses a song region by region. `stems` are those of the regions.

    Without drums there is neither tempo nor beats, and without a harmonic stem there is no key.
    """

    def __init__(self, stems: tuple[str, ...]) -> None:
        self._stems = stems
        self._harmonic = [row for row, stem in enumerate(stems) if stem not in _UNPITCHED]
        self._loudness, self._pitches, self._onsets = LoudnessMeter(), PitchMeter(), OnsetMeter()
        self._samples = 0

    def feed(self, region: Audio, song: Audio) -> None:
        """Add a region `[stems, 2, n]` and the same part of the song, `[2, n]`."""
        self._samples += song.shape[-1]
        self._loudness.feed(song)
        if self._harmonic:
            self._pitches.feed(region[self._harmonic].sum(axis=0))
        if _DRUMS in self._stems:
            self._onsets.feed(region[self._stems.index(_DRUMS)])

    def encode(self) -> bytes:
        """Return the analysis of the whole song as JSON."""
        pitches = self._pitches.finish()
        key = find_key(pitches.classes) if self._harmonic else None
        rhythm = find_rhythm(self._onsets.finish(), pitches.chroma) if _DRUMS in self._stems else None
        found: dict[str, Any] = {
            "version": _VERSION,
            "duration_s": round(self._samples / SAMPLERATE, 3),
            "loudness": self._loudness.as_json(),
            "key": key.as_json() if key else None,
            "tempo": rhythm.tempo_json() if rhythm else None,
            "beats": rhythm.beats_json() if rhythm else None,
        }
        return json.dumps(found, separators=(",", ":")).encode()
