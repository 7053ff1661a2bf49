"""Separation by demucs itself, to compare with: the same weights, its own network and its own overlap-add."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from demucs.apply import BagOfModels, apply_model

from msaas_worker.audio.decoded import Audio, DecodedSong
from msaas_worker.separators.demucs.loader import CLASSES
from msaas_worker.separators.demucs.repository import Repository
from msaas_worker.separators.hub import Hub
from msaas_worker.separators.weights import read_network


@dataclass(frozen=True)
class TimedStems:
    """Stems `[stems, 2, samples]` in the order of the model, and the seconds that they took."""

    stems: Audio
    seconds: float


def separate_by_demucs(
    song: DecodedSong, *, model: str, repo: Path | None, device: str, hub: Hub | None = None
) -> TimedStems:
    """Separate a song without shifts. Raises `ModelUnavailable` if the model is not on this machine."""
    files = Repository(repo, hub or Hub()).find(model)
    networks = [read_network(path, classes=CLASSES) for path in files.weights]
    bag = BagOfModels(networks, files.bag.get("weights"), files.bag.get("segment"))
    mixture = torch.from_numpy(np.ascontiguousarray(song.read(0, song.samples)))
    mono = mixture.mean(0)
    mean, std = mono.mean(), mono.std() + 1e-8
    began = time.perf_counter()
    stems = apply_model(
        bag, ((mixture - mean) / std)[None], shifts=0, split=True, overlap=0.25, device=device
    )
    seconds = time.perf_counter() - began
    return TimedStems((stems[0] * std + mean).cpu().numpy(), seconds)
