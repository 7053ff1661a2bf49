"""The network of the starter: the spectral half of a small HTDemucs, which predicts soft masks."""

from fractions import Fraction
from typing import Any

import torch
from demucs.demucs import rescale_conv
from demucs.htdemucs import HTDemucs
from torch import Tensor, nn
from torch.nn import functional

from msaas_worker.separators.starter.augmentation import average_over_shifts
from msaas_worker.separators.starter.context import LOW_PART, Context
from msaas_worker.separators.starter.wiener import apply_masks

#: Added to the magnitudes of a mixture of level 1, because the slope of a root is infinite at 0.
_FLOOR = 1e-3
#: Left, right, mid and side.
_MAPS = 4
#: The scale of initial weights in HTDemucs.
_RESCALE = 0.1
#: Mean and standard deviation of the roots in music below 5.5 kHz, where nearly all of its energy is.
_MEAN, _DEVIATION = 0.7, 0.55
_TINY = 1e-8


class Starter(HTDemucs):
    """An HTDemucs without its transformer and without its waveform branch.

    It predicts a soft mask of each stem instead of a spectrum. A multichannel Wiener filter (`apply_masks`)
    turns the masks into stems, which add up to the mixture. Files of weights name this class and module.
    """

    def __init__(
        self,
        sources: list[str],
        channels: int,
        depth: int,
        dconv_comp: int,
        dconv_init: float,
        segment: Fraction,
    ) -> None:
        super().__init__(
            sources,
            cac=False,
            wiener_iters=-1,
            end_iters=-1,
            channels=channels,
            depth=depth,
            dconv_comp=dconv_comp,
            dconv_init=dconv_init,
            segment=segment,
            t_layers=0,
        )
        self.tencoder, self.tdecoder = nn.ModuleList(), nn.ModuleList()
        first: Any = self.encoder[0]
        first.conv = nn.Conv2d(_MAPS, channels, first.conv.kernel_size, first.conv.stride, first.conv.padding)
        rescale_conv(first.conv, reference=_RESCALE)
        rows, innermost = self.nfft // 2 // LOW_PART, channels * 2 ** (depth - 1)
        self.context = Context(rows=rows, stride=self.stride, depth=depth)
        #: Input of the first decoder. That of an HTDemucs begins with zeros.
        self.start = nn.Parameter(torch.zeros(1, innermost, 1, 1))

    def forward(self, mix: Tensor) -> Tensor:
        """`[batch, 2, samples]`, at most of the training length, → `[batch, stems, 2, samples]`."""
        samples, length = mix.shape[-1], int(self.segment * self.samplerate)
        mixtures = functional.pad(mix, (0, max(0, length - samples)))
        spectra = self._spec(mixtures)
        logits = average_over_shifts(self.mask_logits, make_maps(spectra, side=1), bins=2)
        masks = make_masks(logits, channel=1, stems=len(self.sources))
        stems = apply_masks(swap_bins_and_frames(masks), mixtures=swap_bins_and_frames(spectra))
        waves = self._ispec(stems.transpose(-1, -2), mixtures.shape[-1])
        return spread_residual(waves, mixtures=mixtures)[..., :samples]

    def masks(self, spectra: Tensor) -> Tensor:
        """Complex `[batch, 2, bins, frames]` → soft masks `[batch, stems, 2, bins, frames]`.

        Test-time augmentation is left out, as in training. The upper bins may be left out. The level is then
        computed as if they were silent, because they hold little energy.
        """
        maps = make_maps(spectra, side=1, kept=spectra.shape[2] / (self.nfft // 2))
        return make_masks(self.mask_logits(maps), channel=1, stems=len(self.sources))

    def mask_logits(self, x: Tensor) -> Tensor:
        """Maps `[batch, 4, bins, frames]` → logits of the masks `[batch, stems · 2, bins, frames]`."""
        skips, lengths = [], []
        for level, encode in enumerate(self.encoder):
            lengths.append(x.shape[-1])
            x = encode(x)
            x = x + self._embed_frequencies(x) if level == 0 else x
            x = add_to_low_rows(x, self.context.of(x, level=level))
            skips.append(x)
        x = self.start.expand_as(x)
        for decode in self.decoder:
            x, _ = decode(x, skips.pop(), lengths.pop())
        return x

    def _embed_frequencies(self, x: Tensor) -> Tensor:
        """Return the embedding of the rows, without which a convolution does not know their frequencies."""
        embedding: Any = self.freq_emb
        rows: Tensor = embedding.weight[: x.shape[-2]] * self.freq_emb_scale
        return rows.t()[None, :, :, None]


def add_to_low_rows(x: Tensor, context: Tensor) -> Tensor:
    """Add `context` to the lowest rows of `[batch, channels, rows, frames]`."""
    return x + functional.pad(context, (0, 0, 0, x.shape[2] - context.shape[2]))


def make_maps(spectra: Tensor, *, side: int, kept: float = 1.0) -> Tensor:
    """Return the input of the network: dimension `side` of complex spectra becomes left, right, mid and side.

    The maps are roots of magnitudes, so that soft sounds count, too, relative to the level of the mixture.
    `kept` is the share of all bins that `spectra` hold.
    """
    left, right = spectra.unbind(side)
    maps = [left, right, (left + right) * 0.5**0.5, (left - right) * 0.5**0.5]
    power = (spectra.real.square() + spectra.imag.square()).mean((1, 2, 3), keepdim=True)
    level = (power * kept).sqrt() + _TINY
    roots = (torch.stack([each.abs() for each in maps], side) / level + _FLOOR).sqrt()
    return (roots - _MEAN) / _DEVIATION


def make_masks(logits: Tensor, *, channel: int, stems: int) -> Tensor:
    """`[…, stems · 2, …]` along `channel` → masks `[…, stems, 2, …]`, which sum to 1 over the stems."""
    return torch.unflatten(logits.float(), channel, (stems, 2)).softmax(channel)


def spread_residual(stems: Tensor, *, mixtures: Tensor) -> Tensor:
    """Add an equal part of the residual, `mixtures` minus the sum of the stems, to each stem."""
    return stems + ((mixtures - stems.sum(1)) / stems.shape[1])[:, None]


def swap_bins_and_frames(spectra: Tensor) -> Tensor:
    """`[…, bins, frames]` → `[…, frames, bins]`, the layout of the filter."""
    return spectra.transpose(-1, -2).contiguous()
