"""Shares become filters of the mixture: how loud each stem is, and where between the sides it stands.

One step of the multichannel Wiener filter (Duong, Vincent and Gribonval 2010) as Open-Unmix takes it: a stem
has some power in a bin and a covariance of its sides, and their product tells what part of the mixture it is.
"""

import torch
from torch import Tensor
from torch.nn import functional

#: The place of a stem is that of so many bins on each side, too: few frames of one bin tell it.
_NEIGHBOURS = 2
#: The share of a covariance that favours no side, so that a mixture without width has an inverse.
_EVEN_SHARE = 0.01
#: Added to powers that are divided by.
_TINY = 1e-8


def parts(shares: Tensor, *, mixtures: Tensor) -> Tensor:
    """The parts of `mixtures` `[batch, 2, frames, bins]` that are the stems', complex, shaped as `shares`.

    `shares`, `[batch, stems, 2, frames, bins]`, are of the mixture's magnitude, and sum to 1; all frames
    together tell where a source stands.
    """
    loud = mixtures.abs()
    level = loud.square().mean((1, 2, 3), keepdim=True).sqrt() + _TINY
    loud, mixtures = loud / level, mixtures / level
    claims = shares * loud[:, None]
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
