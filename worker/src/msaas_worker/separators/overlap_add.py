"""Overlap-add, region by region: bit for bit what `demucs.apply.apply_model` makes of a whole song.

A sample is final once no later segment reaches it, so that one segment of sums is all that is kept. It goes
through the same operations in the same order as in demucs (`split=True, overlap=0.25, shifts=0`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from demucs.utils import center_trim
from torch import Tensor
from torch.nn import functional

from msaas_worker.decoded import DecodedSong

OVERLAP = 0.25
#: `[batch, 2, n]` → `[batch, sources, 2, n]`
Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Mixture:
    """The song as the model wants it: centred and scaled by the whole, silence around it."""

    song: DecodedSong

    @property
    def mean(self) -> Tensor:
        return torch.tensor(self.song.mean, dtype=torch.float32)

    @property
    def std(self) -> Tensor:
        return torch.tensor(self.song.std, dtype=torch.float32) + 1e-8

    def read(self, start: int, stop: int) -> Tensor:
        """Return `[2, stop - start]`, zeros where there is no song."""
        first, last = max(0, start), min(stop, self.song.samples)
        samples = torch.from_numpy(self.song.read(first, last).copy())
        return functional.pad((samples - self.mean) / self.std, (first - start, stop - last))


@dataclass(frozen=True)
class Segments:
    """Where the segments of a model lie, in samples; `padded` is the length it wants for a piece."""

    length: int
    padded: Callable[[int], int]

    @property
    def stride(self) -> int:
        return int((1 - OVERLAP) * self.length)

    def offsets(self, samples: int) -> range:
        return range(0, samples, self.stride)

    def window(self) -> Tensor:
        half = self.length // 2
        rising, falling = torch.arange(1, half + 1), torch.arange(self.length - half, 0, -1)
        window = torch.cat([rising, falling])
        return window / window.max()


def segments_of(model: Any) -> Segments:
    length = int(model.samplerate * model.segment)
    if getattr(model, "use_train_segment", False):
        return Segments(length, lambda samples: length)
    return Segments(length, getattr(model, "valid_length", lambda samples: samples))


class Sums:
    """The segment of the song that is not final yet."""

    def __init__(self, segments: Segments, *, device: str) -> None:
        self._stride = segments.stride
        self._window = segments.window().to(device)
        self._weights = torch.zeros(segments.length, device=device)
        self._sums: Tensor | None = None

    def add(self, piece: Tensor) -> Tensor:
        """Add the next piece `[sources, 2, n]` and return what no later piece reaches."""
        samples = piece.shape[-1]
        if self._sums is None:
            self._sums = piece.new_zeros(*piece.shape[:-1], len(self._weights))
        self._sums[..., :samples] += self._window[:samples] * piece
        self._weights[:samples] += self._window[:samples]
        final = min(self._stride, samples)
        region = self._sums[..., :final] / self._weights[:final]
        _advance(self._sums, self._stride)
        _advance(self._weights, self._stride)
        return region


def _advance(sums: Tensor, stride: int) -> None:
    """In place: what lives as long as the song is not to wander through the heap."""
    kept = sums.shape[-1] - stride
    sums[..., :kept] = sums[..., stride:].clone()
    sums[..., kept:] = 0


@dataclass(frozen=True)
class Runner:
    """A model ready to run: `forward` takes and returns tensors on `device`, `batch` segments at once."""

    segments: Segments
    forward: Forward
    device: str = "cpu"
    batch: int = 1

    def regions(self, mixture: Mixture, *, on_segments: Callable[[int], None]) -> Iterator[Tensor]:
        """Yield the estimates `[sources, 2, n]` in order, one region a batch of segments."""
        sums = Sums(self.segments, device=self.device)
        offsets = self.segments.offsets(mixture.song.samples)
        for first in range(0, len(offsets), self.batch):
            batch = offsets[first : first + self.batch]
            with torch.inference_mode():
                region = torch.cat([sums.add(piece) for piece in self._estimates(mixture, batch)], dim=-1)
            on_segments(len(batch))
            yield region.cpu()

    def _estimates(self, mixture: Mixture, offsets: range) -> Iterator[Tensor]:
        """Yield the model's estimate of each segment; what it lacks in length is the song around it."""
        lengths = [min(self.segments.length, mixture.song.samples - offset) for offset in offsets]
        inputs = [self._input(mixture, *place) for place in zip(offsets, lengths, strict=True)]
        for estimate, length in zip(self._separated(inputs), lengths, strict=True):
            yield center_trim(estimate, length)

    def _input(self, mixture: Mixture, offset: int, length: int) -> Tensor:
        padded = self.segments.padded(length)
        start = offset - (padded - length) // 2
        return mixture.read(start, start + padded)

    def _separated(self, inputs: list[Tensor]) -> Iterator[Tensor]:
        if len({each.shape for each in inputs}) == 1:
            yield from self.forward(torch.stack(inputs).to(self.device))
        else:
            for each in inputs:
                yield from self.forward(each[None].to(self.device))
