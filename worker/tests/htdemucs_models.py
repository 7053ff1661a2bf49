"""Small HTDemucs models with random weights in every layer, and the signal-to-noise ratio of tensors."""

from typing import Any, TypeVar

import torch
from bench.random_htdemucs import LOUD_RESIDUALS, SMALL, random_htdemucs
from demucs.htdemucs import HTDemucs
from torch import Tensor, nn

from msaas_worker.separators.htdemucs.operators import Arithmetic

CPU = torch.device("cpu")
PACKED = Arithmetic(torch.float32, CPU, packed=True)
PLAIN = Arithmetic(torch.float32, CPU, packed=False)
Model = TypeVar("Model", bound=nn.Module)


def random_model(**changes: Any) -> HTDemucs:
    return randomise_norms(random_htdemucs({**SMALL, **changes}, seed=0, residual_scale=LOUD_RESIDUALS))


def randomise_norms(model: Model) -> Model:
    """Set random weights of the norms, which are ones and zeros before training."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for module in model.modules():
            if isinstance(module, nn.GroupNorm | nn.LayerNorm):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.1)
    return model


def snr_db(reference: Tensor, estimate: Tensor) -> float:
    assert reference.shape == estimate.shape
    assert bool(estimate.isfinite().all())
    noise = (reference - estimate).abs().double().square().sum()
    return float(10 * torch.log10(reference.abs().double().square().sum() / noise.clamp_min(1e-30)))
