"""What the worker makes of a mixture: its engine, its filter, its overlap-add."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from msaas_worker.decoded import DecodedSong
from msaas_worker.separators import Separator


def served(mixture: NDArray[np.float32], *, by: Separator) -> NDArray[np.float32]:
    """`[2, samples]` to `[stems, 2, samples]`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "song.f32"
        np.ascontiguousarray(mixture.T, np.float32).tofile(path)
        mono = mixture.mean(0, dtype=np.float64)
        song = DecodedSong(path, mixture.shape[1], float(mono.mean()), float(mono.std(ddof=1)))
        return np.concatenate(list(by.separate(song, stems=by.stems, on_progress=lambda done: None)), axis=-1)
