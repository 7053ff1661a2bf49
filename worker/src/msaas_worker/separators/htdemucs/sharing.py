"""The starter's forward pass arranged for the machine: the function that it is, up to rounding."""

import copy
from typing import Any

import torch
from torch import Tensor

from msaas_worker.separators.htdemucs.network import SpectralHalf
from msaas_worker.separators.htdemucs.operators import Arithmetic
from msaas_worker.separators.htdemucs.spectrogram import Spectrogram
from msaas_worker.separators.starter import pitches
from msaas_worker.separators.starter.model import evened, shared, views
from msaas_worker.separators.starter.wiener import parts


class SharingNetwork:
    """Separates segments [batch, 2, samples] of the training length into [batch, stems, 2, samples].

    The `exact_levels` outermost levels compute in float32 whatever the arithmetic; views, context, shares
    and the filter always do.
    """

    def __init__(self, model: Any, *, arithmetic: Arithmetic, exact_levels: int = 0) -> None:
        self._stems = len(model.sources)
        self.samples = int(model.segment * model.samplerate)
        self._spectrogram = Spectrogram(size=model.nfft, samples=self.samples, device=arithmetic.device)
        levels = [arithmetic.exact] * exact_levels + [arithmetic] * (model.depth - exact_levels)
        self._half = SpectralHalf(model, frames=self._spectrogram.frames, levels=levels)
        self._context = copy.deepcopy(model.context).eval().to(arithmetic.device)
        self._start = arithmetic.exact.constant(model.start.permute(0, 2, 3, 1))

    @torch.inference_mode()
    def __call__(self, mixture: Tensor) -> Tensor:
        frames = self._spectrogram.analyse(mixture)
        # The filter reads a frame's bins many times: laid out one after the other they save a tenth of all.
        stems = parts(self._shares(frames).contiguous(), mixtures=frames.transpose(1, 2).contiguous())
        waves = self._spectrogram.synthesise(stems.flatten(1, 2).transpose(1, 2))
        return evened(waves.unflatten(1, (self._stems, 2)), mixtures=mixture)

    def _shares(self, frames: Tensor) -> Tensor:
        """[batch, frames, 2, bins] → [batch, stems, 2, frames, bins]."""
        maps = views(frames, side=2).permute(0, 3, 1, 2)
        answers = pitches.averaged(self._answers, maps, bins=1)
        return shared(answers, channel=3, stems=self._stems).permute(0, 3, 4, 2, 1)

    def _answers(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for level, encoder in enumerate(self._half.encoders):
            x = encoder(x)
            if level == 0:
                x += self._half.embedding[: x.shape[1]]
            context = self._context.of(x.permute(0, 3, 1, 2), level=level).permute(0, 2, 3, 1)
            x[:, : context.shape[1]] += context
            skips.append(x)
        x = self._start.expand_as(x)
        for decoder in self._half.decoders:
            x = decoder(x, skips.pop())
        return x
