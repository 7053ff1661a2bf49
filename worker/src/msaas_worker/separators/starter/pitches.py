"""The low bins are heard at other pitches as well, and the answers of all hearings are averaged.

Errors differ from pitch to pitch more than what is true does.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from msaas_worker.separators.starter.context import LOW_PART

#: What every frequency is multiplied by, the lower one first, so that the border moves down.
_RATIOS = (1.12, 1.41)


def averaged(answers_of: Callable[[Tensor], Tensor], maps: Tensor, *, bins: int) -> Tensor:
    """What `answers_of` tells of `maps`, both with `maps.shape[bins]` bins along that dimension.

    The first answers are overwritten. What lies just below the border of the low bins is heard less often: a
    higher pitch takes it across.
    """
    answers, low = answers_of(maps), maps.shape[bins] // LOW_PART
    for heard, ratio in enumerate(_RATIOS, 1):
        again = answers_of(_bins(maps, bins, low, by=1 / ratio))
        kept = int((low - 1) / ratio)
        answers.narrow(bins, 0, kept).lerp_(_bins(again, bins, kept, by=ratio), 1 / (heard + 1))
    return answers


def _bins(maps: Tensor, dimension: int, count: int, *, by: float) -> Tensor:
    """`count` bins, each taken from where its number is `by` times as high."""
    origin = (torch.arange(count, device=maps.device) * by).round().long()
    return maps.index_select(dimension, origin)
