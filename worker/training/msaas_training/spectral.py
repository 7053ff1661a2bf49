"""How far the stems that are served lie from the true ones, told on spectra."""

from __future__ import annotations

import torch

from msaas_worker.separators.starter import Starter
from msaas_worker.separators.starter.model import by_frames
from msaas_worker.separators.starter.wiener import parts

#: Power below which an error no longer counts: -60 dB.
_SILENCE = 1e-6


def spectral_loss(model: Starter, true: torch.Tensor) -> torch.Tensor:
    """The error of what is served; `true` are the stems, complex `[batch, stems, channels, bins, frames]`."""
    mixture = true.sum(1)
    with torch.autocast(true.device.type, torch.bfloat16):
        shares = model.shares(mixture)
    return distance(parts(by_frames(shares), mixtures=by_frames(mixture)), by_frames(true))


def distance(estimates: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Root mean square error of each stem, which is what SDR measures.

    L1 would do on waves; on spectra, where most bins of a stem are empty, it teaches silence.
    """
    error = estimates - true
    power = error.real.square() + error.imag.square()
    return (power.flatten(2).mean(2) + _SILENCE).sqrt().mean()
