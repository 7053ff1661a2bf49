"""Separation by demucs itself, to compare with."""

from pathlib import Path

import numpy as np
import torch
from demucs.api import Separator
from worker.tests.models import tiny, write_repo
from worker.tests.songs import decoded, noise

from msaas_worker.separators.demucs.reference import separate_by_demucs


def test_reference_gives_the_stems_of_the_demucs_api(tmp_path: Path) -> None:
    repo, audio = write_repo(tmp_path / "models", [tiny()]), noise(50_000)
    song = decoded(audio, tmp_path / "song.f32")
    found = separate_by_demucs(song, model="htdemucs", repo=repo, device="cpu")
    separator = Separator("htdemucs", repo=repo, device="cpu", shifts=0, overlap=0.25, progress=False)
    _, stems = separator.separate_tensor(torch.from_numpy(audio.copy()))
    assert np.array_equal(found.stems, np.stack([stem.numpy() for stem in stems.values()]))
    assert found.seconds > 0
