"""The fast forward pass of the starter. It computes the same function, except for rounding."""

import copy
from typing import Any

import torch
from torch import Tensor

from msaas_worker.interruption import check_interruption
from msaas_worker.separators.htdemucs import BuildNetwork
from msaas_worker.separators.htdemucs.network import SpectralHalf
from msaas_worker.separators.htdemucs.operators import Arithmetic
from msaas_worker.separators.htdemucs.spectrogram import Spectrogram
from msaas_worker.separators.htdemucs.support import supports_layers
from msaas_worker.separators.starter.augmentation import average_over_shifts
from msaas_worker.separators.starter.model import Starter, make_maps, make_masks, spread_residual
from msaas_worker.separators.starter.wiener import apply_masks


class StarterNetwork:
    """Separates segments `[batch, 2, samples]` of the training length into `[batch, stems, 2, samples]`.

    The `exact_levels` outermost levels use float32 in any arithmetic. Maps, context, masks and the filter
    always do.
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
        # The filter reads the bins of a frame many times: this layout saves a tenth of the total time.
        masks = self._predict_masks(frames).contiguous()
        stems = apply_masks(masks, mixtures=frames.transpose(1, 2).contiguous())
        waves = self._spectrogram.synthesise(stems.flatten(1, 2).transpose(1, 2))
        return spread_residual(waves.unflatten(1, (self._stems, 2)), mixtures=mixture)

    def _predict_masks(self, frames: Tensor) -> Tensor:
        """`[batch, frames, 2, bins]` → `[batch, stems, 2, frames, bins]`."""
        maps = make_maps(frames, side=2).permute(0, 3, 1, 2)
        logits = average_over_shifts(self._mask_logits, maps, bins=1)
        return make_masks(logits, channel=3, stems=self._stems).permute(0, 3, 4, 2, 1)

    def _mask_logits(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for level, encoder in enumerate(self._half.encoders):
            check_interruption()
            x = encoder(x)
            if level == 0:
                x += self._half.embedding[: x.shape[1]]
            context = self._context.of(x.permute(0, 3, 1, 2), level=level).permute(0, 2, 3, 1)
            x[:, : context.shape[1]] += context
            skips.append(x)
        x = self._start.expand_as(x)
        for decoder in self._half.decoders:
            check_interruption()
            x = decoder(x, skips.pop())
        return x


def starter_network(model: Any) -> BuildNetwork | None:
    """Return the fast form of a model, None if its configuration is not supported."""
    return StarterNetwork if type(model) is Starter and supports_layers(model) else None
