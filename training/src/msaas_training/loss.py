"""The training loss: the error of the separated stems, computed on spectra."""

from __future__ import annotations

import torch

from msaas_worker.separators.starter import Starter
from msaas_worker.separators.starter.model import swap_bins_and_frames
from msaas_worker.separators.starter.wiener import apply_masks

#: Power floor of -60 dB: smaller errors have no gradient.
_SILENCE = 1e-6


def spectral_loss(model: Starter, true: torch.Tensor) -> torch.Tensor:
    """Return the error of the stems after the Wiener filter of the worker.

    `true` are the stems' complex spectra `[batch, stems, channels, bins, frames]`.
    """
    mixture = true.sum(1)
    with torch.autocast(true.device.type, torch.bfloat16):
        masks = model.masks(mixture)
    stems = apply_masks(swap_bins_and_frames(masks), mixtures=swap_bins_and_frames(mixture))
    return rms_error(stems, swap_bins_and_frames(true))


def rms_error(estimates: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Return the root mean square error, averaged over stems. SDR measures the same error.

    An L1 loss on spectra converges to silence, because most bins of a stem are empty.
    """
    error = estimates - true
    power = error.real.square() + error.imag.square()
    return (power.flatten(2).mean(2) + _SILENCE).sqrt().mean()
