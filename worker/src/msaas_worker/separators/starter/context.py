"""Context across rows: the part of a frame outside the reach of a small convolution.

It is computed from the lowest quarter of the rows (up to 5.5 kHz), which holds nearly all of the energy, and
added to these rows. Before training it is zero.
"""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

#: The low bins are the lowest quarter of all: up to 5.5 kHz.
LOW_PART = 4


class AcrossRows(nn.Module):
    """Two fully connected layers over `rows`, shared by channels and frames (TDF, Choi et al. 2020)."""

    def __init__(self, *, rows: int) -> None:
        super().__init__()
        self.rows = rows
        self.first, self.last = nn.Conv1d(rows, rows, 1), zero_parameters(nn.Conv1d(rows, rows, 1))

    def forward(self, low: Tensor) -> Tensor:
        """`[batch, channels, rows, frames]` → the same shape."""
        added: Tensor = self.last(functional.gelu(self.first(low.flatten(0, 1))))
        return added.reshape(low.shape)


class Context(nn.ModuleList):
    """The context of each level of the encoder."""

    def __init__(self, *, rows: int, stride: int, depth: int) -> None:
        """`rows` is the number of low rows of the mixture's spectrogram."""
        super().__init__(AcrossRows(rows=rows // stride**level) for level in range(1, depth + 1))

    def of(self, x: Tensor, *, level: int) -> Tensor:
        """`[batch, channels, rows or more, frames]` → context of low rows `[batch, channels, rows, frames]`.

        It is computed in the type of these weights, except under autocast.
        """
        layer: Any = self[level]
        context: Tensor = layer(x[:, :, : layer.rows].to(layer.first.weight.dtype))
        return context


def zero_parameters(layer: nn.Conv1d) -> nn.Conv1d:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
