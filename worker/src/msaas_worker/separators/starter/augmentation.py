"""Test-time augmentation: mask logits of the low bins are averaged over pitch shifts.

The errors of the shifted mixtures differ more than the true masks do, so the mean has less error.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from msaas_worker.separators.starter.context import LOW_PART

#: Factors of all frequencies. The smaller one comes first, because the upper limit of the low bins shrinks.
_RATIOS = (1.12, 1.41)


def average_over_shifts(logits_of: Callable[[Tensor], Tensor], maps: Tensor, *, bins: int) -> Tensor:
    """Return the logits of `maps`, in the low bins averaged with those of shifted maps.

    Maps and logits have `maps.shape[bins]` bins along dimension `bins`. The logits of the unshifted maps are
    overwritten. Bins near the upper limit are averaged less often, because a shift moves them beyond it.
    """
    logits, low = logits_of(maps), maps.shape[bins] // LOW_PART
    for shift, ratio in enumerate(_RATIOS, 1):
        shifted = logits_of(_resample_bins(maps, bins, low, by=1 / ratio))
        kept = int((low - 1) / ratio)
        logits.narrow(bins, 0, kept).lerp_(_resample_bins(shifted, bins, kept, by=ratio), 1 / (shift + 1))
    return logits


def _resample_bins(maps: Tensor, dimension: int, count: int, *, by: float) -> Tensor:
    """Return `count` bins; bin `i` is bin `i * by` of `maps`."""
    origin = (torch.arange(count, device=maps.device) * by).round().long()
    return maps.index_select(dimension, origin)
