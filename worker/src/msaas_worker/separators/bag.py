"""Bags: several networks whose estimates are averaged with a weight for each stem."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Bag:
    """`weights[network][stem]`. All networks of a bag have the same stems; one network is a bag, too."""

    stems: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]

    @classmethod
    def of_equals(cls, stems: tuple[str, ...], *, networks: int) -> "Bag":
        """Return a bag in which every network counts as much."""
        return cls(stems, ((1.0,) * len(stems),) * networks)

    def rows(self, stems: Sequence[str]) -> list[int]:
        return [self.stems.index(stem) for stem in stems]

    def required_networks(self, rows: Sequence[int]) -> list[int]:
        """Return the networks with a weight for one of these stems. The others do not change the mean."""
        return [index for index, weights in enumerate(self.weights) if any(weights[row] for row in rows)]

    def computed_with(self, stems: Sequence[str]) -> tuple[str, ...]:
        """Return the stems that need no further network than these. The order is that of the bag."""
        running = set(self.required_networks(self.rows(stems)))
        required = {stem: set(self.required_networks(self.rows([stem]))) for stem in self.stems}
        return tuple(
            stem for stem in self.stems if stem in stems or (required[stem] and required[stem] <= running)
        )

    def mean(self, estimates: dict[int, Tensor], rows: Sequence[int]) -> Tensor:
        """Return `[rows, 2, n]`, the mean of estimates `[stems, 2, n]` by network.

        The order of operations is that of demucs, so that the samples are the same bit for bit.
        """
        total: Tensor = torch.zeros(())
        for index, estimate in estimates.items():
            total = total + estimate[list(rows)] * self._column(index, rows)
        sums = torch.tensor([sum(weights[row] for weights in self.weights) for row in rows])
        return total / sums[:, None, None]

    def _column(self, index: int, rows: Sequence[int]) -> Tensor:
        return torch.tensor([self.weights[index][row] for row in rows])[:, None, None]


def align(streams: dict[int, Iterator[Tensor]], *, samples: int) -> Iterator[dict[int, Tensor]]:
    """Yield regions of all streams that have the same length, up to `samples`.

    The networks of a bag may have segments of different lengths.
    """
    waiting = {index: torch.empty(0) for index in streams}
    while samples:
        for index, stream in streams.items():
            if not waiting[index].shape[-1]:
                waiting[index] = next(stream)
        ready = min(region.shape[-1] for region in waiting.values())
        yield {index: region[..., :ready] for index, region in waiting.items()}
        waiting = {index: region[..., ready:] for index, region in waiting.items()}
        samples -= ready
