"""HTDemucs' spectrogram: the Fourier transform, its inverse, and what of them the network sees and says."""

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

#: Squares of a Hann window at a quarter of its length sum to this.
_HANN_POWER = 1.5


class Spectrogram:
    """Between waveforms [batch, …, samples] and complex frames [batch, …, frames, bins].

    What `HTDemucs._spec` and `_ispec` do, but for the order of the last two dimensions: a frame lies in
    memory as the FFT wants it. The highest bin is left out, as there.
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
        frames = padded.unfold(-1, self._size, self._hop) * self._analysis_window
        return torch.fft.rfft(frames)[..., :-1]

    def synthesise(self, frames: Tensor) -> Tensor:
        waves = torch.fft.irfft(frames, n=self._size).mul_(self._synthesis_window)
        total = waves.new_zeros(*waves.shape[:-2], self.frames + 3, self._hop)
        for quarter, part in enumerate(waves.unflatten(-1, (4, self._hop)).unbind(-2)):
            total[..., quarter : quarter + self.frames, :] += part
        return total.flatten(-2)[..., self._left : self._left + self._samples]


class View(Protocol):
    """What the network gets of a mixture's frames, and how frames of stems are made of what it answers."""

    def maps(self, frames: Tensor) -> Tensor:
        """[batch, 2, frames, bins] → [batch, bins, frames, channels]."""

    def stems(self, maps: Tensor, frames: Tensor) -> Tensor:
        """[batch, bins, frames, stems · channels] → [batch, stems, 2, frames, bins]."""


class ComplexAsChannels:
    """Real and imaginary parts are channels, of the mixture and of the stems."""

    def maps(self, frames: Tensor) -> Tensor:
        return torch.view_as_real(frames).permute(0, 3, 2, 1, 4).flatten(3)

    def stems(self, maps: Tensor, frames: Tensor) -> Tensor:
        parts = maps.unflatten(-1, (-1, 2, 2)).permute(0, 3, 4, 2, 1, 5)
        return torch.view_as_complex(parts.contiguous())


class Magnitudes:
    """The network sees magnitudes; a stem has those that it answers and the mixture's phase."""

    def maps(self, frames: Tensor) -> Tensor:
        return frames.abs().permute(0, 3, 2, 1)

    def stems(self, maps: Tensor, frames: Tensor) -> Tensor:
        phase = frames / (1e-8 + frames.abs())
        return phase[:, None] * maps.unflatten(-1, (-1, 2)).permute(0, 3, 4, 2, 1)
