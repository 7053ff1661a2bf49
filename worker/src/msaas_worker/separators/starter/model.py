"""The spectral half of a small HTDemucs, which says how each bin of a mixture is shared among the stems."""

from fractions import Fraction
from typing import Any

import torch
from demucs.demucs import rescale_conv
from demucs.htdemucs import HTDemucs
from torch import Tensor, nn
from torch.nn import functional

from msaas_worker.separators.starter import pitches
from msaas_worker.separators.starter.context import LOW_PART, Context
from msaas_worker.separators.starter.wiener import parts

#: Added to the magnitudes of a mixture of level 1, where the slope of their root would have no end.
_FLOOR = 1e-3
#: Left, right, their sum and their difference.
_VIEWS = 4
#: As HTDemucs scales the weights that it begins with.
_RESCALE = 0.1
#: What those roots are in music below 5.5 kHz, where nearly all of its energy lies: mean and deviation.
_USUAL, _SPREAD = 0.7, 0.55
_TINY = 1e-8


class Starter(HTDemucs):
    """An HTDemucs without transformer and without the half that works on the wave.

    In place of each stem's spectrum it makes the stem's share of the mixture in every bin; a filter that
    knows places, too, takes the mixture apart by the shares (`parts`), so that the stems add up to it.
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
        first.conv = nn.Conv2d(
            _VIEWS, channels, first.conv.kernel_size, first.conv.stride, first.conv.padding
        )
        rescale_conv(first.conv, reference=_RESCALE)  # type: ignore[no-untyped-call]
        rows, innermost = self.nfft // 2 // LOW_PART, channels * 2 ** (depth - 1)
        self.context = Context(rows=rows, stride=self.stride, depth=depth)
        #: What the decoders begin with, where an HTDemucs begins with nothing.
        self.start = nn.Parameter(torch.zeros(1, innermost, 1, 1))

    def forward(self, mix: Tensor) -> Tensor:
        """`[batch, 2, samples]`, no longer than the training length, to `[batch, stems, 2, samples]`."""
        samples, length = mix.shape[-1], int(self.segment * self.samplerate)
        mixtures = functional.pad(mix, (0, max(0, length - samples)))
        spectra = self._spec(mixtures)  # type: ignore[no-untyped-call]
        answers = pitches.averaged(self.answers, views(spectra, side=1), bins=2)
        shares = shared(answers, channel=1, stems=len(self.sources))
        stems = parts(by_frames(shares), mixtures=by_frames(spectra))
        waves = self._ispec(stems.transpose(-1, -2), mixtures.shape[-1])  # type: ignore[no-untyped-call]
        return evened(waves, mixtures=mixtures)[..., :samples]

    def shares(self, spectra: Tensor) -> Tensor:
        """What part of `[batch, 2, bins, frames]`, complex, is whose: `[batch, stems, 2, bins, frames]`.

        Heard once, as in training. The upper bins may be left out; the level is as if they were silent, and
        little is there.
        """
        maps = views(spectra, side=1, kept=spectra.shape[2] / (self.nfft // 2))
        return shared(self.answers(maps), channel=1, stems=len(self.sources))

    def answers(self, x: Tensor) -> Tensor:
        """Views `[batch, 4, bins, frames]` to what shares are made of, `[batch, stems · 2, bins, frames]`."""
        skips, lengths = [], []
        for level, encode in enumerate(self.encoder):
            lengths.append(x.shape[-1])
            x = encode(x)
            x = x + self._heights(x) if level == 0 else x
            x = raised(x, by=self.context.of(x, level=level))
            skips.append(x)
        x = self.start.expand_as(x)
        for decode in self.decoder:
            x, _ = decode(x, skips.pop(), lengths.pop())
        return x

    def _heights(self, x: Tensor) -> Tensor:
        """The embedding of the frequencies, which a convolution does not know apart."""
        embedding: Any = self.freq_emb
        rows: Tensor = embedding.weight[: x.shape[-2]] * self.freq_emb_scale
        return rows.t()[None, :, :, None]


def raised(x: Tensor, *, by: Tensor) -> Tensor:
    """`[batch, channels, rows, frames]` and what its lowest rows get."""
    return x + functional.pad(by, (0, 0, 0, x.shape[2] - by.shape[2]))


def views(spectra: Tensor, *, side: int, kept: float = 1.0) -> Tensor:
    """What the network sees of complex spectra: in place of the dimension `side` four maps, of no unit.

    Left and right, their sum and their difference, as the roots of their magnitudes, so that what is soft is
    seen, too. `kept` is the share of all bins that `spectra` hold.
    """
    left, right = spectra.unbind(side)
    seen = [left, right, (left + right) * 0.5**0.5, (left - right) * 0.5**0.5]
    power = (spectra.real.square() + spectra.imag.square()).mean((1, 2, 3), keepdim=True)
    level = (power * kept).sqrt() + _TINY
    roots = (torch.stack([each.abs() for each in seen], side) / level + _FLOOR).sqrt()
    return (roots - _USUAL) / _SPREAD


def shared(answers: Tensor, *, channel: int, stems: int) -> Tensor:
    """`[…, stems · 2, …]` along `channel` to shares `[…, stems, 2, …]`, which sum to 1 over the stems."""
    return torch.unflatten(answers.float(), channel, (stems, 2)).softmax(channel)


def evened(stems: Tensor, *, mixtures: Tensor) -> Tensor:
    """What the transform leaves over of `mixtures` is spread evenly."""
    return stems + ((mixtures - stems.sum(1)) / stems.shape[1])[:, None]


def by_frames(spectra: Tensor) -> Tensor:
    """`[..., bins, frames]` laid out as the filter works, `[..., frames, bins]`."""
    return spectra.transpose(-1, -2).contiguous()
