"""A bag of models is a weighted mean, and a stem needs only the models with a weight for it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Bag:
    """`weights[model][source]`; all models have the same sources."""

    sources: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]

    def rows(self, stems: Sequence[str]) -> list[int]:
        return [self.sources.index(stem) for stem in stems]

    def needed(self, rows: Sequence[int]) -> list[int]:
        """Return the models with a weight for one of these sources; the others change nothing."""
        return [index for index, weights in enumerate(self.weights) if any(weights[row] for row in rows)]

    def mean(self, estimates: dict[int, Tensor], rows: Sequence[int]) -> Tensor:
        """Return `[rows, 2, n]` of estimates `[sources, 2, n]` by model, in demucs' order of operations."""
        total: Tensor = torch.zeros(())
        for index, estimate in estimates.items():
            total = total + estimate[list(rows)] * self._column(index, rows)
        sums = torch.tensor([sum(weights[row] for weights in self.weights) for row in rows])
        return total / sums[:, None, None]

    def _column(self, index: int, rows: Sequence[int]) -> Tensor:
        return torch.tensor([self.weights[index][row] for row in rows])[:, None, None]


def in_step(streams: dict[int, Iterator[Tensor]], total: int) -> Iterator[dict[int, Tensor]]:
    """Yield equally long regions of all streams, though their models may have other segments."""
    waiting = {index: torch.empty(0) for index in streams}
    while total:
        for index, stream in streams.items():
            if not waiting[index].shape[-1]:
                waiting[index] = next(stream)
        ready = min(region.shape[-1] for region in waiting.values())
        yield {index: region[..., :ready] for index, region in waiting.items()}
        waiting = {index: region[..., ready:] for index, region in waiting.items()}
        total -= ready
