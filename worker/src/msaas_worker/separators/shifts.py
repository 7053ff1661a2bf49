"""Test-time augmentation of demucs (`shifts`): the mean of passes over the song, each shifted by up to 0.5 s.

demucs draws the shifts anew for each song. Here they are the same for all songs, so that the same song always
has the same stems. They are those of demucs after `random.seed(0)`.
"""

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from msaas_worker.audio.decoded import SAMPLERATE

#: In samples, as in `demucs.apply.apply_model`.
_MAX_SHIFT = SAMPLERATE // 2
_SEED = 0
#: The passes of a separation without shifts.
UNSHIFTED = (0,)

_EMPTY = torch.empty(0)


def draw_starts(shifts: int, *, networks: int) -> list[tuple[int, ...]]:
    """Return the starts of the passes of each network, in samples of the song.

    A start is at most 0: a pass begins with silence. Without shifts, each network has one pass.
    """
    if not shifts:
        return [UNSHIFTED] * networks
    generator = random.Random(_SEED)
    return [
        tuple(generator.randint(0, _MAX_SHIFT) - _MAX_SHIFT for _ in range(shifts)) for _ in range(networks)
    ]


class MeanOfPasses:
    """The mean of passes that run side by side.

    A sample is added to the sum of the passes before it, in the order of demucs, so that the sums are the
    same bit for bit. About one region waits for the next pass, and up to 0.5 s of each pass.
    """

    def __init__(self, starts: Sequence[int]) -> None:
        self._silent = [-start for start in starts]
        #: Samples of each pass that wait for the passes before it.
        self._passes = [_EMPTY for _ in starts]
        #: Sums of the passes up to each one, which wait for the next pass.
        self._sums = [_EMPTY for _ in starts]

    def add(self, index: int, region: Tensor) -> None:
        """Add the next region `[stems, 2, n]` of a pass."""
        self._passes[index] = _join(self._passes[index], self._drop_silence(index, region))
        for later in range(index, len(self._passes)):
            self._sums[later] = _join(self._sums[later], self._advance_sum(later))

    def take(self) -> Tensor:
        """Return the mean of the samples that all passes have. There may be none."""
        total, self._sums[-1] = self._sums[-1], _EMPTY
        return total / len(self._passes)

    def _drop_silence(self, index: int, region: Tensor) -> Tensor:
        """Leave out the samples of a pass before the song."""
        dropped = min(self._silent[index], region.shape[-1])
        self._silent[index] -= dropped
        return region[..., dropped:]

    def _advance_sum(self, index: int) -> Tensor:
        """Take the samples that the pass and the sum before it have, and return their sum."""
        if index == 0:
            first, self._passes[0] = self._passes[0], _EMPTY
            return first
        total, estimate = self._sums[index - 1], self._passes[index]
        ready = min(total.shape[-1], estimate.shape[-1])
        if not ready:
            return _EMPTY
        # Copies: a view would keep the memory of the whole region.
        self._sums[index - 1], self._passes[index] = total[..., ready:].clone(), estimate[..., ready:].clone()
        return total[..., :ready] + estimate[..., :ready]


def _join(waiting: Tensor, region: Tensor) -> Tensor:
    if not waiting.numel():
        return region
    return torch.cat([waiting, region], dim=-1) if region.numel() else waiting
