"""Estimates become shares of the mixture, so that the stems add up to it."""

from collections.abc import Callable

import torch
from torch import Tensor

_FFT = 4096
_HOP = 1024
#: Added to every power, so that silence is shared evenly instead of divided by nothing.
_FLOOR = 1e-8


def sharing(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The forward pass `[batch, 2, n]` → `[batch, sources, 2, n]`, with stems that sum to the mixture."""
    return lambda mixtures: shared_out(forward(mixtures), mixtures=mixtures)


def shared_out(estimates: Tensor, *, mixtures: Tensor) -> Tensor:
    """Give each stem the share of every bin of the mixture that its power has among the stems (Wiener).

    `[batch, sources, 2, n]` and `[batch, 2, n]`; what the transform leaves over is spread evenly.
    """
    powers = _spectrum(estimates).abs().square() + _FLOOR
    masked = powers / powers.sum(1, keepdim=True) * _spectrum(mixtures)[:, None]
    stems = _wave(masked, samples=mixtures.shape[-1])
    return stems + ((mixtures - stems.sum(1)) / stems.shape[1])[:, None]


def _spectrum(waves: Tensor) -> Tensor:
    window = torch.hann_window(_FFT, device=waves.device)
    flat = waves.reshape(-1, waves.shape[-1])
    spectra = torch.stft(flat, _FFT, _HOP, window=window, return_complex=True, pad_mode="constant")
    return spectra.reshape(*waves.shape[:-1], *spectra.shape[1:])


def _wave(spectra: Tensor, *, samples: int) -> Tensor:
    window = torch.hann_window(_FFT, device=spectra.device)
    waves = torch.istft(spectra.flatten(0, -3), _FFT, _HOP, window=window, length=samples)
    return waves.reshape(*spectra.shape[:-2], samples)
