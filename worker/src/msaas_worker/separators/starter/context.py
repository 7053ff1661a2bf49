"""Context is what a small convolution does not see: the other rows of a frame, and seconds of time.

It is read from the lowest quarter of the rows alone, up to 5.5 kHz, where nearly all of the energy lies, and
added to them. Until it is trained it adds nothing.
"""

from typing import Any

from demucs.demucs import DConv
from torch import Tensor, nn
from torch.nn import functional

#: The low bins are the lowest of all, one in so many: up to 5.5 kHz.
LOW_PART = 4
#: Channels over time, and how many residual branches they pass; the last one's taps are 32 frames apart.
_WIDTH, _BRANCHES = 256, 6


class AcrossRows(nn.Module):
    """Every row by all `rows`, the same for each channel and frame (TDF, Choi et al. 2020)."""

    def __init__(self, *, rows: int) -> None:
        super().__init__()
        self.rows = rows
        self.first, self.last = nn.Conv1d(rows, rows, 1), silent(nn.Conv1d(rows, rows, 1))

    def forward(self, low: Tensor) -> Tensor:
        """`[batch, channels, rows, frames]`, as what is returned."""
        added: Tensor = self.last(functional.gelu(self.first(low.flatten(0, 1))))
        return added.reshape(low.shape)


class OverTime(nn.Module):
    """All channels of `rows` by their neighbours in time, up to 63 frames (1.5 s) away."""

    def __init__(self, *, rows: int, channels: int) -> None:
        super().__init__()
        self.rows = rows
        self.first = nn.Conv1d(rows * channels, _WIDTH, 1)
        self.between = DConv(_WIDTH, compress=2, depth=_BRANCHES, init=0.1)
        self.last = silent(nn.Conv1d(_WIDTH, rows * channels, 1))

    def forward(self, low: Tensor) -> Tensor:
        """`[batch, channels, rows, frames]`, as what is returned."""
        added: Tensor = self.last(self.between(functional.gelu(self.first(low.flatten(1, 2)))))
        return added.reshape(low.shape)


class Context(nn.ModuleList):
    """What is added to the low rows of each level: across them, and at the bottom over time."""

    def __init__(self, *, channels: int, rows: int, stride: int, depth: int) -> None:
        """`channels` are the outermost level's; `rows` are those of the mixture that it is taken of."""
        low = [max(1, rows // stride**level) for level in range(1, depth + 1)]
        super().__init__(
            [
                *(AcrossRows(rows=each) for each in low[:-1]),
                OverTime(rows=low[-1], channels=channels * 2 ** (depth - 1)),
            ]
        )

    def of(self, x: Tensor, *, level: int) -> Tensor:
        """`[batch, channels, rows, frames]`, or more rows, to what its lowest rows get, `[…, rows, …]`.

        It is computed in the type of these weights whatever that of `x`, but for an autocast.
        """
        layer: Any = self[level]
        context: Tensor = layer(x[:, :, : layer.rows].to(layer.first.weight.dtype))
        return context


def silent(layer: nn.Conv1d) -> nn.Conv1d:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
