"""The spectrogram of HTDemucs: the Fourier transform, its inverse, and the maps of the network."""

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

#: Sum of the squares of Hann windows that are shifted by a quarter of their length.
_HANN_POWER = 1.5


class Spectrogram:
    """Converts waveforms `[batch, channels, samples]` to frames `[batch, frames, channels, bins]` and back.

    Like `HTDemucs._spec` and `_ispec`, which also leave out the highest bin, but a frame is contiguous in
    memory, as the FFT needs it.
    """

    def __init__(self, *, size: int, samples: int, device: torch.device) -> None:
        self._size, self._hop, self._samples = size, size // 4, samples
        self.frames, self.bins = math.ceil(samples / self._hop), size // 2
        window = torch.hann_window(size, device=device)
        self._analysis_window = window / math.sqrt(size)
        self._synthesis_window = window * (math.sqrt(size) / _HANN_POWER)
        self._left = self._hop // 2 * 3

    def analyse(self, waveform: Tensor) -> Tensor:
        right = self._left + self.frames * self._hop - self._samples
        padded = functional.pad(waveform, (self._left, right), mode="reflect")
        frames = padded.unfold(-1, self._size, self._hop).transpose(1, 2).contiguous()
        return torch.fft.rfft(frames.mul_(self._analysis_window))[..., :-1]

    def synthesise(self, frames: Tensor) -> Tensor:
        batch, count, channels, _ = frames.shape
        waves = torch.fft.irfft(frames, n=self._size).mul_(self._synthesis_window)
        total = waves.new_zeros(batch, channels, count + 3, self._hop)
        for quarter, part in enumerate(waves.transpose(1, 2).split(self._hop, dim=-1)):
            total[:, :, quarter : quarter + count] += part
        return total.flatten(2)[..., self._left : self._left + self._samples]


class View(Protocol):
    """Converts frames of a mixture to the input of the network, and its output to frames of the stems."""

    def maps(self, frames: Tensor) -> Tensor:
        """`[batch, frames, 2, bins]` → `[batch, bins, frames, channels]`."""

    def stems(self, maps: Tensor, frames: Tensor) -> Tensor:
        """`[batch, bins, frames, stems · channels]` → `[batch, frames, stems · 2, bins]`."""


class ComplexAsChannels:
    """Channels are real and imaginary parts, of the mixture and of the stems."""

    def maps(self, frames: Tensor) -> Tensor:
        return torch.view_as_real(_put_bins_first(frames)).flatten(3)

    def stems(self, maps: Tensor, frames: Tensor) -> Tensor:
        return _put_bins_last(torch.view_as_complex(maps.unflatten(-1, (-1, 2))))


class Magnitudes:
    """Channels are magnitudes. A stem has the phase of the mixture."""

    def maps(self, frames: Tensor) -> Tensor:
        return frames.abs().permute(0, 3, 1, 2)

    def stems(self, maps: Tensor, frames: Tensor) -> Tensor:
        phase = frames / (1e-8 + frames.abs())
        magnitudes = maps.unflatten(-1, (-1, 2)).permute(0, 2, 3, 4, 1)
        return (magnitudes * phase[:, :, None]).flatten(2, 3)


def _put_bins_first(frames: Tensor) -> Tensor:
    """`[batch, frames, channels, bins]` → `[batch, bins, frames, channels]`."""
    return _transpose(frames.flatten(0, 2)).unflatten(1, frames.shape[:3]).transpose(0, 1)


def _put_bins_last(maps: Tensor) -> Tensor:
    """`[batch, bins, frames, channels]` → `[batch, frames, channels, bins]`."""
    batch, _, count, channels = maps.shape
    return _transpose(maps.transpose(0, 1).flatten(1)).unflatten(0, (batch, count, channels))


def _transpose(matrix: Tensor) -> Tensor:
    """Transpose a complex matrix in memory. As float64 torch does it in blocks, four times as fast."""
    return matrix.view(torch.float64).T.contiguous().view(torch.complex64)
