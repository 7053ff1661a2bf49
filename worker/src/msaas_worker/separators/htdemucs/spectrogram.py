"""HTDemucs' spectrogram: the Fourier transform, its inverse, and what of them the network sees and says."""

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

#: Squares of a Hann window at a quarter of its length sum to this.
_HANN_POWER = 1.5


class Spectrogram:
    """Between waveforms [batch, channels, samples] and complex frames [batch, frames, channels, bins].

    What `HTDemucs._spec` and `_ispec` do, but for the order of the dimensions: a frame lies in memory as the
    FFT wants it. The highest bin is left out, as there.
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
    """What the network gets of a mixture's frames, and how frames of stems are made of what it answers."""

    def maps(self, frames: Tensor) -> Tensor:
        """[batch, frames, 2, bins] → [batch, bins, frames, channels]."""

    def stems(self, maps: Tensor, frames: Tensor) -> Tensor:
        """[batch, bins, frames, stems · channels] → [batch, frames, stems · 2, bins]."""


class ComplexAsChannels:
    """Real and imaginary parts are channels, of the mixture and of the stems."""

    def maps(self, frames: Tensor) -> Tensor:
        return torch.view_as_real(_bins_first(frames)).flatten(3)

    def stems(self, maps: Tensor, frames: Tensor) -> Tensor:
        return _bins_last(torch.view_as_complex(maps.unflatten(-1, (-1, 2))))


class Magnitudes:
    """The network sees magnitudes; a stem has those that it answers and the mixture's phase."""

    def maps(self, frames: Tensor) -> Tensor:
        return frames.abs().permute(0, 3, 1, 2)

    def stems(self, maps: Tensor, frames: Tensor) -> Tensor:
        phase = frames / (1e-8 + frames.abs())
        magnitudes = maps.unflatten(-1, (-1, 2)).permute(0, 2, 3, 4, 1)
        return (magnitudes * phase[:, :, None]).flatten(2, 3)


def _bins_first(frames: Tensor) -> Tensor:
    """[batch, frames, channels, bins] → [batch, bins, frames, channels]."""
    return _transposed(frames.flatten(0, 2)).unflatten(1, frames.shape[:3]).transpose(0, 1)


def _bins_last(maps: Tensor) -> Tensor:
    """[batch, bins, frames, channels] → [batch, frames, channels, bins]."""
    batch, _, count, channels = maps.shape
    return _transposed(maps.transpose(0, 1).flatten(1)).unflatten(0, (batch, count, channels))


def _transposed(matrix: Tensor) -> Tensor:
    """Of a complex matrix, in memory: torch transposes by blocks, four times as fast, what is not complex."""
    return matrix.view(torch.float64).T.contiguous().view(torch.complex64)
