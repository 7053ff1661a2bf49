"""The low bins are heard at a second pitch as well, and the answers of both hearings are averaged.

Errors differ from pitch to pitch more than what is true does.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from msaas_worker.separators.starter.context import LOW_PART

#: What every frequency is multiplied by; examples of the training are, too (by 0.84 to 1.19).
_RATIO = 1.12


def averaged(answers_of: Callable[[Tensor], Tensor], maps: Tensor, *, bins: int) -> Tensor:
    """What `answers_of` tells of `maps`, both with `maps.shape[bins]` bins along that dimension.

    What lies just below the border of the low bins is heard once: the second pitch takes it across.
    """
    answers, low = answers_of(maps), maps.shape[bins] // LOW_PART
    again = answers_of(_bins(maps, bins, low, by=1 / _RATIO))
    kept = int((low - 1) / _RATIO)
    answers.narrow(bins, 0, kept).add_(_bins(again, bins, kept, by=_RATIO)).div_(2)
    return answers


def _bins(maps: Tensor, dimension: int, count: int, *, by: float) -> Tensor:
    """`count` bins, each taken from where its number is `by` times as high."""
    origin = (torch.arange(count, device=maps.device) * by).round().long()
    return maps.index_select(dimension, origin)
