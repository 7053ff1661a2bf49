"""The fast forward pass of HTDemucs. It computes the same function, except for rounding."""

from typing import Any

import torch
from torch import Tensor

from msaas_worker.interruption import check_interruption
from msaas_worker.separators.htdemucs.layers import Decoder, Encoder
from msaas_worker.separators.htdemucs.operators import Arithmetic, Dense
from msaas_worker.separators.htdemucs.spectrogram import ComplexAsChannels, Magnitudes, Spectrogram, View
from msaas_worker.separators.htdemucs.transformer import Transformer


class HTDemucsNetwork:
    """Separates segments `[batch, 2, samples]` of the training length into `[batch, stems, 2, samples]`.

    The `exact_levels` outermost levels use float32 in any arithmetic.
    """

    def __init__(self, model: Any, *, arithmetic: Arithmetic, exact_levels: int = 0) -> None:
        self._stems = len(model.sources)
        self.samples = int(model.segment * model.samplerate)
        self._spectrogram = Spectrogram(size=model.nfft, samples=self.samples, device=arithmetic.device)
        self._view: View = ComplexAsChannels() if model.cac else Magnitudes()
        self._lengths = _level_lengths(model, self.samples)
        levels = [arithmetic.exact] * exact_levels + [arithmetic] * (model.depth - exact_levels)
        frames, lengths = self._spectrogram.frames, self._lengths[1:]
        self._spectral = SpectralHalf(model, frames=frames, levels=levels)
        self._encoders_t = [
            Encoder(layer, width=length, arithmetic=level)
            for layer, length, level in zip(model.tencoder, lengths, levels, strict=True)
        ]
        self._decoders_t = [
            Decoder(layer, width=length, arithmetic=level)
            for layer, length, level in zip(model.tdecoder, lengths[::-1], levels[::-1], strict=True)
        ]
        self._bottom = (
            Bottom(model, frames=frames, steps=lengths[-1], arithmetic=arithmetic)
            if model.crosstransformer
            else None
        )

    @torch.inference_mode()
    def __call__(self, mixture: Tensor) -> Tensor:
        frames, from_time = self._branches(mixture)
        waves = self._spectrogram.synthesise(frames)
        waves += from_time
        return waves.unflatten(1, (self._stems, 2))

    def _branches(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two parts of the stems: frames of the spectral branch, waves of the waveform branch.

        A separate function, so that its intermediate tensors are free before the inverse transform.
        """
        frames = self._spectrogram.analyse(mixture)
        x, mean, deviation = _normalise(self._view.maps(frames))
        xt, mean_t, deviation_t = _normalise(mixture.transpose(1, 2).unsqueeze(1))
        x, xt = self._separate(x, xt)
        maps = torch.addcmul(mean, x, deviation, out=x)
        waves = torch.addcmul(mean_t, xt, deviation_t, out=xt)
        return self._view.stems(maps, frames), waves[:, 0].transpose(1, 2)

    def _separate(self, x: Tensor, xt: Tensor) -> tuple[Tensor, Tensor]:
        skips: list[Tensor] = []
        skips_t: list[Tensor] = []
        half = self._spectral
        for encoder, encoder_t in zip(half.encoders, self._encoders_t, strict=True):
            check_interruption()
            x, xt = encoder(x), encoder_t(xt)
            if not skips:
                x += half.embedding
            skips.append(x)
            skips_t.append(xt)
        if self._bottom:
            x, xt = self._bottom(x, xt)
        lengths = self._lengths[-2::-1]
        for decoder, decoder_t, length in zip(half.decoders, self._decoders_t, lengths, strict=True):
            check_interruption()
            x = decoder(x, skips.pop())
            xt = decoder_t(xt, skips_t.pop())[:, :, :length]
        return x, xt


class SpectralHalf:
    """The encoders and decoders of the spectral branch. Each level has its own arithmetic."""

    def __init__(self, model: Any, *, frames: int, levels: list[Arithmetic]) -> None:
        self.encoders = [
            Encoder(layer, width=frames, arithmetic=level)
            for layer, level in zip(model.encoder, levels, strict=True)
        ]
        self.decoders = [
            Decoder(layer, width=frames, arithmetic=level)
            for layer, level in zip(model.decoder, levels[::-1], strict=True)
        ]
        rows = model.nfft // 2 // model.stride
        self.embedding = levels[0].constant(model.freq_emb.weight[:rows, None] * model.freq_emb_scale)


class Bottom:
    """The innermost level: the transformer over both branches, and the products that adapt their channels."""

    def __init__(self, model: Any, *, frames: int, steps: int, arithmetic: Arithmetic) -> None:
        self._dtype = arithmetic.dtype
        self._widen, self._widen_t, self._narrow, self._narrow_t = (
            Dense(layer.weight[:, :, 0], layer.bias, arithmetic=arithmetic)
            for layer in (
                model.channel_upsampler,
                model.channel_upsampler_t,
                model.channel_downsampler,
                model.channel_downsampler_t,
            )
        )
        bins = model.nfft // 2 // model.stride**model.depth
        self._transformer = Transformer(
            model.crosstransformer, bins=bins, frames=frames, steps=steps, arithmetic=arithmetic
        )

    def __call__(self, x: Tensor, xt: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self._widen(x.to(self._dtype).flatten(1, 2))
        tokens_t = self._widen_t(xt[:, 0].to(self._dtype))
        tokens, tokens_t = self._transformer(tokens, tokens_t)
        tokens, tokens_t = self._narrow(tokens.to(self._dtype)), self._narrow_t(tokens_t.to(self._dtype))
        return tokens.view(x.shape), tokens_t.unsqueeze(1)


def _level_lengths(model: Any, samples: int) -> list[int]:
    """Return the length of the waveform at each level, outermost first."""
    lengths = [samples]
    for layer in model.tencoder:
        lengths.append(-(-lengths[-1] // layer.stride))
    return lengths


def _normalise(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return (x − mean) / deviation of each item, its mean and its deviation."""
    dimensions = tuple(range(1, x.dim()))
    mean = x.mean(dim=dimensions, keepdim=True)
    deviation = x.std(dim=dimensions, keepdim=True)
    return (x - mean) / (1e-5 + deviation), mean, deviation
