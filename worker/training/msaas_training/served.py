"""What the worker makes of a mixture with some weights: its engine, its filter, its overlap-add."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from demucs.htdemucs import HTDemucs
from numpy.typing import NDArray

from msaas.stems import MODELS, STARTER
from msaas_worker.decoded import DecodedSong
from msaas_worker.separators.bag import Bag
from msaas_worker.separators.engine import DemucsSeparator
from msaas_worker.separators.htdemucs import prepare
from msaas_worker.separators.overlap_add import Runner, segments_of
from msaas_worker.separators.wiener import filtering

STEMS = MODELS[STARTER]


def engine_of(model: HTDemucs) -> DemucsSeparator:
    """The engine that the worker makes of `starter`, in float32."""
    runner = Runner(segments_of(model), filtering(prepare(model, precision="exact").forward))
    bag = Bag(STEMS, ((1.0,) * len(STEMS),))
    return DemucsSeparator(STARTER, bag, (runner,), weights_sha256="", arithmetic="float32", adds_up=True)


def served(engine: DemucsSeparator, mixture: NDArray[np.float32]) -> NDArray[np.float32]:
    """`[2, samples]` to `[4, 2, samples]`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "song.f32"
        np.ascontiguousarray(mixture.T, np.float32).tofile(path)
        mono = mixture.mean(0, dtype=np.float64)
        song = DecodedSong(path, mixture.shape[1], float(mono.mean()), float(mono.std(ddof=1)))
        regions = engine.separate(song, stems=STEMS, on_progress=lambda done: None)
        return np.concatenate(list(regions), axis=-1)
