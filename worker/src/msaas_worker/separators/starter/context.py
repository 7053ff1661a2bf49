"""Context is what a small convolution does not see: the other rows of a frame.

It is read from the lowest quarter of the rows alone, up to 5.5 kHz, where nearly all of the energy lies, and
added to them. Until it is trained it adds nothing.
"""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

#: The low bins are the lowest of all, one in so many: up to 5.5 kHz.
LOW_PART = 4


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


class Context(nn.ModuleList):
    """What is added to the low rows of each level, across them."""

    def __init__(self, *, rows: int, stride: int, depth: int) -> None:
        """`rows` are those of the mixture that it is taken of."""
        super().__init__(AcrossRows(rows=rows // stride**level) for level in range(1, depth + 1))

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
