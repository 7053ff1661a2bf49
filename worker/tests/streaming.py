"""Separation by demucs' own code, and by ours with demucs' models."""

import random
from unittest.mock import patch

import demucs.apply
import numpy as np
import torch
from demucs.apply import BagOfModels, apply_model
from worker.tests.models import STEMS

from msaas_worker.audio.decoded import Audio, DecodedSong
from msaas_worker.separators.bag import Bag
from msaas_worker.separators.engine import BagSeparator
from msaas_worker.separators.overlap_add import Runner, segments_of

#: Samples of a segment of `models.tiny`.
SEGMENT = 22_050
#: Weights of bags, `[network][stem]`.
FINE_TUNED = [[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 0], [0, 0, 0, 1.0]]
MIXED = [[1.0, 0, 1.0, 0.5], [0, 1.0, 0.25, 0.5]]


def make_separator(bag: BagOfModels, *, batch: int = 1) -> BagSeparator:
    runners = tuple(Runner(segments=segments_of(model), forward=model, batch=batch) for model in bag.models)
    return BagSeparator(
        model="htdemucs",
        bag=Bag(tuple(STEMS), tuple(map(tuple, bag.weights))),
        runners=runners,
        weights_sha256="",
    )


def stream(
    bag: BagOfModels,
    song: DecodedSong,
    *,
    stems: list[str] | None = None,
    batch: int = 1,
    overlap: float = 0.25,
    shifts: int = 0,
) -> Audio:
    regions = make_separator(bag, batch=batch).separate(
        song, stems=tuple(stems or STEMS), overlap=overlap, shifts=shifts, on_progress=lambda done: None
    )
    return np.concatenate(list(regions), axis=-1)


def run_demucs(bag: BagOfModels, song: DecodedSong, *, overlap: float = 0.25, shifts: int = 0) -> Audio:
    """Like `demucs.api.Separator.separate_tensor` after `random.seed(0)`.

    Mean and deviation are in double precision.
    """
    wav = torch.from_numpy(song.read(0, song.samples).copy())
    mean = torch.tensor(song.mean, dtype=torch.float32)
    std = torch.tensor(song.std, dtype=torch.float32) + 1e-8
    with patch.object(demucs.apply, "random", random.Random(0)):
        estimates = apply_model(bag, ((wav - mean) / std)[None], shifts=shifts, split=True, overlap=overlap)
    separated: Audio = (estimates[0] * std + mean).numpy()
    return separated
