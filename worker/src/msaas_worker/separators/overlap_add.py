"""Streaming overlap-add: the same samples, bit for bit, as `demucs.apply.apply_model` of the whole song.

A sample is final when no later segment overlaps it, so only one segment of sums is kept in memory. Operations
and their order are those of demucs (`split=True, overlap=0.25, shifts=0`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from demucs.utils import center_trim
from torch import Tensor
from torch.nn import functional

from msaas_worker.audio.decoded import DecodedSong

#: Share of a segment that overlaps the next one.
OVERLAP = 0.25
#: `[batch, 2, n]` → `[batch, stems, 2, n]`
Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Mixture:
    """The input of a network: the song, centred and scaled by the statistics of its whole length."""

    song: DecodedSong

    @property
    def mean(self) -> Tensor:
        return torch.tensor(self.song.mean, dtype=torch.float32)

    @property
    def std(self) -> Tensor:
        return torch.tensor(self.song.std, dtype=torch.float32) + 1e-8

    def read(self, start: int, stop: int) -> Tensor:
        """Return `[2, stop - start]`, with zeros before and after the song."""
        first, last = max(0, start), min(stop, self.song.samples)
        samples = torch.from_numpy(self.song.read(first, last).copy())
        return functional.pad((samples - self.mean) / self.std, (first - start, stop - last))


@dataclass(frozen=True)
class Segments:
    """Segments of a song, in samples. `padded` maps a length to the input length that the network needs."""

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


def segments_of(network: Any) -> Segments:
    """Return the segments that a network of demucs' interface was trained on."""
    length = int(network.samplerate * network.segment)
    if getattr(network, "use_train_segment", False):
        return Segments(length, lambda samples: length)
    return Segments(length, getattr(network, "valid_length", lambda samples: samples))


class Sums:
    """Weighted sums of the estimates, over the segment of the song that is not final yet."""

    def __init__(self, segments: Segments, *, device: str) -> None:
        self._stride = segments.stride
        self._window = segments.window().to(device)
        self._weights = torch.zeros(segments.length, device=device)
        self._sums: Tensor | None = None

    def add(self, estimate: Tensor) -> Tensor:
        """Add the estimate `[stems, 2, n]` of the next segment. Return the region that became final."""
        samples = estimate.shape[-1]
        if self._sums is None:
            self._sums = estimate.new_zeros(*estimate.shape[:-1], len(self._weights))
        self._sums[..., :samples] += self._window[:samples] * estimate
        self._weights[:samples] += self._window[:samples]
        final = min(self._stride, samples)
        region = self._sums[..., :final] / self._weights[:final]
        _shift(self._sums, self._stride)
        _shift(self._weights, self._stride)
        return region


def _shift(sums: Tensor, stride: int) -> None:
    """Move the sums to the next segment, in place: new memory for each segment would fragment the heap."""
    kept = sums.shape[-1] - stride
    sums[..., :kept] = sums[..., stride:].clone()
    sums[..., kept:] = 0


@dataclass(frozen=True, kw_only=True)
class Runner:
    """A network that is ready to run. `forward` takes `batch` segments at once, on `device`."""

    segments: Segments
    forward: Forward
    device: str = "cpu"
    batch: int = 1
    #: As in `htdemucs.Prepared`.
    arithmetic: str = "plain"
    snr_db: float | None = None

    def regions(self, mixture: Mixture, *, on_segments: Callable[[int], None]) -> Iterator[Tensor]:
        """Yield the estimates `[stems, 2, n]` in order, one region for each batch of segments."""
        sums = Sums(self.segments, device=self.device)
        offsets = self.segments.offsets(mixture.song.samples)
        for first in range(0, len(offsets), self.batch):
            batch = offsets[first : first + self.batch]
            with torch.inference_mode():
                region = torch.cat([sums.add(each) for each in self._estimate(mixture, batch)], dim=-1)
            on_segments(len(batch))
            yield region.cpu()

    def _estimate(self, mixture: Mixture, offsets: range) -> Iterator[Tensor]:
        """Yield the estimate of each segment. Short inputs are extended by the song around them."""
        lengths = [min(self.segments.length, mixture.song.samples - offset) for offset in offsets]
        inputs = [self._read(mixture, *place) for place in zip(offsets, lengths, strict=True)]
        for estimate, length in zip(self._run(inputs), lengths, strict=True):
            yield center_trim(estimate, length)

    def _read(self, mixture: Mixture, offset: int, length: int) -> Tensor:
        padded = self.segments.padded(length)
        start = offset - (padded - length) // 2
        return mixture.read(start, start + padded)

    def _run(self, inputs: list[Tensor]) -> Iterator[Tensor]:
        if len({each.shape for each in inputs}) == 1:
            yield from self.forward(torch.stack(inputs).to(self.device))
        else:
            for each in inputs:
                yield from self.forward(each[None].to(self.device))
