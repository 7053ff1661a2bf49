"""The low bins are heard at other pitches as well, and what is answered of them is averaged.

Errors differ from pitch to pitch more than what is true does. Up to 5.5 kHz, where nearly all of the energy
lies, a second hearing costs a quarter of the first.
"""

from collections.abc import Callable

import torch
from torch import Tensor

#: What every frequency is multiplied by for another hearing, which training does as well (0.84 to 1.19).
_RATIOS = (1.12,)
#: The lowest bins, one in so many.
_LOW_PART = 4


def averaged(answers_of: Callable[[Tensor], Tensor], maps: Tensor, *, bins: int) -> Tensor:
    """What `answers_of` tells of `maps`, both with `maps.shape[bins]` bins along that dimension.

    What lies just below the border of the low bins is heard once: another pitch takes it across.
    """
    answers, low = answers_of(maps), maps.shape[bins] // _LOW_PART
    again = [(ratio, answers_of(_bins(maps, bins, low, by=1 / ratio))) for ratio in _RATIOS]
    kept = int((low - 1) / max(1.0, *_RATIOS))
    heard = [_bins(answer, bins, kept, by=ratio) for ratio, answer in again]
    answers.narrow(bins, 0, kept).add_(sum(heard)).div_(1 + len(heard))
    return answers


def _bins(maps: Tensor, dimension: int, count: int, *, by: float) -> Tensor:
    """`count` bins, each taken from where its number is `by` times as high."""
    origin = (torch.arange(count, device=maps.device) * by).round().long()
    return maps.index_select(dimension, origin)
