"""Estimates become filters of the mixture: how loud each stem is, and where between the sides it stands.

One step of the multichannel Wiener filter (Duong, Vincent and Gribonval 2010) as Open-Unmix takes it: a stem
has some power in a bin and a covariance of its sides, and their product tells what part of the mixture it is.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

_FFT = 4096
_HOP = 1024
#: Added to magnitudes of a song of level 1, so that silence is shared evenly instead of divided by nothing.
_FLOOR = 1e-4
#: The place of a stem is that of so many bins on each side, too: few frames of one bin tell it.
_NEIGHBOURS = 2
#: The share of a covariance that favours no side, so that a mixture without width has an inverse.
_EVEN_SHARE = 0.01
#: Added to powers that are divided by.
_TINY = 1e-8


def filtering(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The forward pass `[batch, 2, n]` → `[batch, sources, 2, n]`, with stems that sum to the mixture."""
    return lambda mixtures: filtered(forward(mixtures), mixtures=mixtures)


def filtered(estimates: Tensor, *, mixtures: Tensor) -> Tensor:
    """`[batch, sources, 2, n]` and `[batch, 2, n]`; what the transform leaves over is spread evenly."""
    spectra = parts(_spectrum(estimates).abs(), mixtures=_spectrum(mixtures))
    stems = _wave(spectra, samples=mixtures.shape[-1])
    return stems + ((mixtures - stems.sum(1)) / stems.shape[1])[:, None]


def parts(sizes: Tensor, *, mixtures: Tensor) -> Tensor:
    """The parts, complex, of `mixtures` `[batch, 2, frames, bins]` that are the sources'.

    `sizes` are the estimates' magnitudes, `[batch, sources, 2, frames, bins]`; all frames tell the places.
    """
    loud = mixtures.abs()
    level = loud.square().mean((1, 2, 3), keepdim=True).sqrt() + _TINY
    sizes, loud, mixtures = sizes / level[:, None] + _FLOOR, loud / level, mixtures / level
    claims = sizes * (loud / sizes.sum(1))[:, None]
    powers = claims.square()
    power = powers.mean(2)
    left, right, across = _covariances(claims, powers=powers, turn=_turn(mixtures, loud=loud))
    whitened = _whitened(
        mixtures,
        left=(power * left).sum(1),
        right=(power * right).sum(1),
        across=torch.complex((power * across.real).sum(1), (power * across.imag).sum(1)),
    )
    of_left, of_right = ((level[:, 0] * side)[:, None] for side in whitened)
    to_left = power * (left * of_left + across * of_right)
    to_right = power * (across.conj() * of_left + right * of_right)
    return torch.stack([to_left, to_right], dim=2)


def _turn(mixtures: Tensor, *, loud: Tensor) -> Tensor:
    """By how much the left side is ahead of the right, on the unit circle: so it is in every claim."""
    left, right = mixtures.unbind(1)
    return left * right.conj() / (loud[:, 0] * loud[:, 1] + _TINY)


def _covariances(claims: Tensor, *, powers: Tensor, turn: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The power of either side and what they have in common, `[batch, sources, 1, bins]`; its mean is 1."""
    left, right = claims.unbind(2)
    shared = left * right
    own = [_over_bins(side.sum(-2)) for side in powers.unbind(2)]
    common = [_over_bins((shared * part[:, None]).sum(-2)) for part in (turn.real, turn.imag)]
    total = (own[0] + own[1]) / 2 + _TINY
    of_left, of_right = ((1 - _EVEN_SHARE) * each / total + _EVEN_SHARE for each in own)
    across = (1 - _EVEN_SHARE) * torch.complex(*common) / total
    return of_left[:, :, None], of_right[:, :, None], across[:, :, None]


def _over_bins(values: Tensor) -> Tensor:
    return functional.avg_pool1d(
        values, 2 * _NEIGHBOURS + 1, stride=1, padding=_NEIGHBOURS, count_include_pad=False
    )


def _whitened(mixtures: Tensor, *, left: Tensor, right: Tensor, across: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of a covariance, two by two, times the mixture; both sides of it."""
    of_left, of_right = mixtures.unbind(1)
    left, right = left + _TINY, right + _TINY
    determinant = left * right - _power(across)
    return (
        (right * of_left - across * of_right) / determinant,
        (left * of_right - across.conj() * of_left) / determinant,
    )


def _power(spectra: Tensor) -> Tensor:
    return spectra.real.square() + spectra.imag.square()


def _spectrum(waves: Tensor) -> Tensor:
    window = torch.hann_window(_FFT, device=waves.device)
    flat = waves.reshape(-1, waves.shape[-1])
    spectra = torch.stft(flat, _FFT, _HOP, window=window, return_complex=True, pad_mode="constant")
    # The transform makes frame by frame; so they lie in memory.
    frames = spectra.transpose(1, 2)
    return frames.reshape(*waves.shape[:-1], *frames.shape[1:])


def _wave(spectra: Tensor, *, samples: int) -> Tensor:
    window = torch.hann_window(_FFT, device=spectra.device)
    flat = spectra.flatten(0, -3).transpose(1, 2)
    waves = torch.istft(flat, _FFT, _HOP, window=window, length=samples)
    return waves.reshape(*spectra.shape[:-2], samples)
