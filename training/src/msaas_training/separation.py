"""Separates arrays with the engine of the worker."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from msaas.models import MODELS
from msaas_worker.audio.decoded import DecodedSong
from msaas_worker.separators import Separator


def separate(mixture: NDArray[np.float32], *, separator: Separator) -> NDArray[np.float32]:
    """Separate a mixture `[2, samples]` into `[stems, 2, samples]`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "song.f32"
        np.ascontiguousarray(mixture.T, np.float32).tofile(path)
        mono = mixture.mean(0, dtype=np.float64)
        song = DecodedSong(path, mixture.shape[1], float(mono.mean()), float(mono.std(ddof=1)))
        stems = MODELS[separator.model].stems
        regions = separator.separate(song, stems=stems, on_progress=lambda done: None)
        return np.concatenate(list(regions), axis=-1)
