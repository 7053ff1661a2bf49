"""Streaming overlap-add: the same samples, bit for bit, as `demucs.apply.apply_model` of the whole song.

A sample is final when no later segment overlaps it, so each pass over the song keeps less than one segment of
sums in memory. Operations and their order are those of demucs (`split=True`), for any overlap and any shifts.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import torch
from demucs.utils import center_trim
from torch import Tensor
from torch.nn import functional

from msaas_worker.audio.decoded import CHANNELS, DecodedSong
from msaas_worker.separators import OVERLAP
from msaas_worker.separators.shifts import UNSHIFTED, MeanOfPasses

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
        if first >= last:
            return torch.zeros(CHANNELS, stop - start)
        samples = torch.from_numpy(self.song.read(first, last).copy())
        return functional.pad((samples - self.mean) / self.std, (first - start, stop - last))


@dataclass(frozen=True)
class Segments:
    """Segments of a song, in samples. `padded` maps a length to the input length that the network needs.

    `overlap` is the share of a segment that overlaps the next one. Above 0.5, three or more segments overlap.
    """

    length: int
    padded: Callable[[int], int]
    overlap: float = OVERLAP

    @property
    def stride(self) -> int:
        return int((1 - self.overlap) * self.length)

    def places(self, samples: int, starts: Sequence[int] = UNSHIFTED) -> list[tuple[int, int]]:
        """Return pass and offset of all segments: the first of each pass, the second of each pass, and so on.

        `starts` are the first offsets of the passes. The passes run side by side, so that the samples of a
        pass do not wait long for those of another.
        """
        rounds = zip_longest(*(range(start, samples, self.stride) for start in starts))
        return [
            (index, offset)
            for offsets in rounds
            for index, offset in enumerate(offsets)
            if offset is not None
        ]

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
    """Weighted sums of the estimates of a pass.

    Between two segments, only the part that the next one overlaps is kept.
    """

    def __init__(self, segments: Segments, *, device: str) -> None:
        self._stride = segments.stride
        self._window = segments.window().to(device)
        self._weights = torch.zeros(segments.length - self._stride, device=device)
        self._sums: Tensor | None = None

    def add(self, estimate: Tensor) -> Tensor:
        """Add the estimate `[stems, 2, n]` of the next segment. Return the region that became final."""
        samples = estimate.shape[-1]
        if self._sums is None:
            self._sums = estimate.new_zeros(*estimate.shape[:-1], len(self._weights))
        window = self._window[:samples]
        sums, weights = window * estimate, window.clone()
        overlapped = min(samples, len(self._weights))
        sums[..., :overlapped] += self._sums[..., :overlapped]
        weights[:overlapped] += self._weights[:overlapped]
        final = min(self._stride, samples)
        # In place: new memory for each segment would fragment the heap.
        self._sums[..., : samples - final] = sums[..., final:]
        self._weights[: samples - final] = weights[final:]
        return sums[..., :final] / weights[:final]


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

    def with_overlap(self, overlap: float) -> "Runner":
        return replace(self, segments=replace(self.segments, overlap=overlap))

    def regions(
        self, mixture: Mixture, *, on_segments: Callable[[int], None], starts: Sequence[int] = UNSHIFTED
    ) -> Iterator[Tensor]:
        """Yield the estimates `[stems, 2, n]` in order, at most one region for each batch of segments.

        They are the mean of the passes that begin at `starts`.
        """
        sums = [Sums(self.segments, device=self.device) for _ in starts]
        mean = MeanOfPasses(starts)
        places = self.segments.places(mixture.song.samples, starts)
        for first in range(0, len(places), self.batch):
            batch = places[first : first + self.batch]
            with torch.inference_mode():
                self._add(batch, sums, mean, mixture=mixture)
                region = mean.take().cpu()
            on_segments(len(batch))
            if region.numel():
                yield region

    def _add(
        self, batch: Sequence[tuple[int, int]], sums: Sequence[Sums], mean: MeanOfPasses, *, mixture: Mixture
    ) -> None:
        passes, offsets = zip(*batch, strict=True)
        for index, estimate in zip(passes, self._estimate(mixture, offsets), strict=True):
            mean.add(index, sums[index].add(estimate))

    def _estimate(self, mixture: Mixture, offsets: Sequence[int]) -> Iterator[Tensor]:
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
