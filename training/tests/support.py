"""Songs of noise, training runs and legacy weights for the tests."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from msaas_training.songs import STEMS
from msaas_training.train import ARCHITECTURE, Plan, Run
from msaas_worker.separators.starter import Starter

SECOND = 44_100
FRAMES = 43


def write_noise_songs(folder: Path, *, count: int = 3, tracks: int = 4) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(count):
        np.save(folder / f"{index:04d}.npy", rng.integers(-9000, 9000, (tracks, 2, 4 * SECOND), np.int16))
    return folder


def new_plan(**changes: Any) -> Plan:
    plan = Plan(minutes=1, batch=1, frames=FRAMES, device="cpu", save_every_steps=1)
    return replace(plan, **changes)


def new_run() -> Run:
    return Run(new_plan())


def noise_stems(*, bins: int) -> torch.Tensor:
    shape = (1, 4, 2, bins, FRAMES)
    return torch.randn(shape, dtype=torch.complex64, generator=torch.manual_seed(2)) * 0.1


def legacy_weights(*, channels: int = ARCHITECTURE["channels"]) -> tuple[Starter, dict[str, torch.Tensor]]:
    """Return a model with a silent fourth level, and its weights as stored in legacy files."""
    model = Starter(list(STEMS), **ARCHITECTURE | {"channels": channels, "depth": 4})
    for layer in list(model.context)[:3]:
        layer.last.reset_parameters()
    gates = model.decoder[0].rewrite.bias.data
    gates[len(gates) // 2 :] = -1e4
    torch.nn.init.uniform_(model.decoder[0].conv_tr.bias, -0.7, 0.5)
    return model.eval(), {name: value for name, value in model.state_dict().items() if name != "start"}
