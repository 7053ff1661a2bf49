"""An engine without a model: each stem is the song at a gain of its own. A worker with it starts quickly."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from msaas.models import FOUR_STEMS
from msaas_worker.audio.decoded import SAMPLERATE, Audio, DecodedSong
from msaas_worker.separators import OVERLAP, OnProgress

_SEGMENT_S = 0.25


@dataclass(frozen=True, kw_only=True)
class QuickSeparator:
    """Implements `Separator`. Another gain gives other stems. `pace`: time for a second of song, in s."""

    model: str
    gain: float = 1.0
    pace: float = 0.0
    stems: tuple[str, ...] = FOUR_STEMS
    weights_sha256: str = "0" * 64
    device: str = "cpu"

    @property
    def engine(self) -> str:
        return f"quick {self.gain}"

    def computed_with(self, stems: tuple[str, ...]) -> tuple[str, ...]:
        return stems

    def separate(
        self,
        song: DecodedSong,
        *,
        stems: tuple[str, ...],
        on_progress: OnProgress,
        overlap: float = OVERLAP,
        shifts: int = 0,
    ) -> Iterator[Audio]:
        step = int(_SEGMENT_S * SAMPLERATE)
        gains = self.gain * np.arange(1, len(stems) + 1, dtype=np.float32) / 10
        for start in range(0, song.samples, step):
            stop = min(start + step, song.samples)
            time.sleep(self.pace * (stop - start) / SAMPLERATE)
            yield gains[:, None, None] * song.read(start, stop)[None]
            on_progress(stop / song.samples)


@dataclass(frozen=True, kw_only=True)
class QuickSeparators:
    """Implements `Separators`: every model is a quick one."""

    gain: float = 1.0
    pace: float = 0.0

    def get(self, model: str) -> QuickSeparator:
        return QuickSeparator(model=model, gain=self.gain, pace=self.pace)
