"""What the tests of training have in common: songs of noise, a run on them, weights of an older form.

To be imported after the path of the training is set.
"""

from pathlib import Path

import numpy as np
import torch
from msaas_training.songs import STEMS
from msaas_training.train import ARCHITECTURE, Plan, Run

from msaas_worker.separators.starter import Starter

SECOND = 44_100
FRAMES = 43


def songs_of_noise(folder: Path, *, count: int = 3, tracks: int = 4) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(count):
        np.save(folder / f"{index:04d}.npy", rng.integers(-9000, 9000, (tracks, 2, 4 * SECOND), np.int16))
    return folder


def begun_run() -> Run:
    return Run(Plan(minutes=1, batch=1, frames=FRAMES, device="cpu", save_every_steps=1))


def noise(*, bins: int) -> torch.Tensor:
    shape = (1, 4, 2, bins, FRAMES)
    return torch.randn(shape, dtype=torch.complex64, generator=torch.manual_seed(2)) * 0.1


def with_a_silent_level(
    *, channels: int = ARCHITECTURE["channels"]
) -> tuple[Starter, dict[str, torch.Tensor]]:
    """A model of four levels, the innermost of them silent, and its weights as such a file had them."""
    model = Starter(list(STEMS), **ARCHITECTURE | {"channels": channels, "depth": 4})
    for layer in list(model.context)[:3]:
        layer.last.reset_parameters()
    closed = model.decoder[0].rewrite.bias.data
    closed[len(closed) // 2 :] = -1e4
    torch.nn.init.uniform_(model.decoder[0].conv_tr.bias, -0.7, 0.5)
    return model.eval(), {name: value for name, value in model.state_dict().items() if name != "start"}
