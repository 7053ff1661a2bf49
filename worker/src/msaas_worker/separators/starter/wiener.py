"""A multichannel Wiener filter: soft masks become stems by loudness and by position in the stereo image.

One step of the filter of Duong, Vincent and Gribonval (2010), in the form that Open-Unmix uses. A stem has a
power in each bin and a spatial covariance. Their product gives its part of the mixture.
"""

import torch
from torch import Tensor
from torch.nn import functional

#: Bins on each side that share a covariance, because one bin alone has too few frames.
_NEIGHBOURS = 2
#: Share of the identity in a covariance. It makes the covariance of a mono mixture invertible.
_REGULARISATION = 0.01
#: Added to divisors.
_TINY = 1e-8


def apply_masks(masks: Tensor, *, mixtures: Tensor) -> Tensor:
    """Return the stems of complex `mixtures` `[batch, 2, frames, bins]`, shaped as `masks`.

    `masks`, `[batch, stems, 2, frames, bins]`, apply to magnitudes and sum to 1 over the stems. The
    covariance of a stem is estimated over all frames.
    """
    magnitudes = mixtures.abs()
    level = magnitudes.square().mean((1, 2, 3), keepdim=True).sqrt() + _TINY
    magnitudes, mixtures = magnitudes / level, mixtures / level
    masked = masks * magnitudes[:, None]
    powers = masked.square()
    power = powers.mean(2)
    phases = _phase_difference(mixtures, magnitudes=magnitudes)
    left, right, cross = _covariances(masked, powers=powers, phases=phases)
    whitened = _whiten(
        mixtures,
        left=(power * left).sum(1),
        right=(power * right).sum(1),
        cross=torch.complex((power * cross.real).sum(1), (power * cross.imag).sum(1)),
    )
    of_left, of_right = ((level[:, 0] * side)[:, None] for side in whitened)
    to_left = power * (left * of_left + cross * of_right)
    to_right = power * (cross.conj() * of_left + right * of_right)
    return torch.stack([to_left, to_right], dim=2)


def _phase_difference(mixtures: Tensor, *, magnitudes: Tensor) -> Tensor:
    """Return the phase of the left side relative to the right, on the unit circle. Masks do not change it."""
    left, right = mixtures.unbind(1)
    return left * right.conj() / (magnitudes[:, 0] * magnitudes[:, 1] + _TINY)


def _covariances(masked: Tensor, *, powers: Tensor, phases: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the power of each side and the cross term `[batch, stems, 1, bins]`, for a mean power of 1."""
    left, right = masked.unbind(2)
    product = left * right
    own = [_average_over_bins(side.sum(-2)) for side in powers.unbind(2)]
    common = [_average_over_bins((product * part[:, None]).sum(-2)) for part in (phases.real, phases.imag)]
    total = (own[0] + own[1]) / 2 + _TINY
    of_left, of_right = ((1 - _REGULARISATION) * each / total + _REGULARISATION for each in own)
    cross = (1 - _REGULARISATION) * torch.complex(*common) / total
    return of_left[:, :, None], of_right[:, :, None], cross[:, :, None]


def _average_over_bins(values: Tensor) -> Tensor:
    return functional.avg_pool1d(
        values, 2 * _NEIGHBOURS + 1, stride=1, padding=_NEIGHBOURS, count_include_pad=False
    )


def _whiten(mixtures: Tensor, *, left: Tensor, right: Tensor, cross: Tensor) -> tuple[Tensor, Tensor]:
    """Multiply the mixture by the inverse of its 2 × 2 covariance. Return the left and the right side."""
    of_left, of_right = mixtures.unbind(1)
    left, right = left + _TINY, right + _TINY
    determinant = left * right - _power(cross)
    return (
        (right * of_left - cross * of_right) / determinant,
        (left * of_right - cross.conj() * of_left) / determinant,
    )


def _power(spectra: Tensor) -> Tensor:
    return spectra.real.square() + spectra.imag.square()
