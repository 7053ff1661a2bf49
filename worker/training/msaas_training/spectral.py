"""The spectral half of an HTDemucs without transformer, trained on its own: no wave, half the work."""

from __future__ import annotations

import torch
from demucs.htdemucs import HTDemucs

from msaas_training.spectra import BINS
from msaas_worker.separators.wiener import parts

#: Power below which an error no longer counts: -60 dB.
_SILENCE = 1e-6
#: How much of the loss is on the stems as they are served.
_SERVED_SHARE = 0.75


def magnitudes(model: HTDemucs, mixture: torch.Tensor) -> torch.Tensor:
    """What `HTDemucs.forward` makes of a mixture magnitude `[batch, channels, bins, frames]`: one a stem.

    Where the upper bins are left out, the levels are as if they were silent: little is there.
    """
    mean, std = moments(mixture)
    x, skips, lengths = (mixture - mean) / (1e-5 + std), [], []
    for depth, encode in enumerate(model.encoder):
        lengths.append(x.shape[-1])
        x = encode(x)
        if depth == 0:
            places = model.freq_emb(torch.arange(x.shape[-2], device=x.device)).t()
            x = x + model.freq_emb_scale * places[None, :, :, None]
        skips.append(x)
    for decode in model.decoder:
        x, _ = decode(x, skips.pop(), lengths.pop())
    return x.unflatten(1, (len(model.sources), -1)) * std[:, None] + mean[:, None]


def moments(mixture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each mixture over the bins of a whole spectrum."""
    count = mixture[0].numel() // mixture.shape[-2] * BINS
    mean = mixture.sum((1, 2, 3), keepdim=True) / count
    power = mixture.square().sum((1, 2, 3), keepdim=True) / count
    return mean, (power - mean.square()).clamp_min(0).sqrt()


def spectral_loss(model: HTDemucs, true: torch.Tensor) -> torch.Tensor:
    """How far the filtered mixture is from the stems, as it is served, and the estimates by themselves.

    `true` are the stems' spectra, complex `[batch, stems, channels, bins, frames]`. An estimate ought to be
    the magnitude that a stem has under the phase of the mixture (Erdogan et al. 2015).
    """
    mixture = true.sum(1)
    size = mixture.abs()
    wanted = (true * (mixture.conj() / (size + 1e-8))[:, None]).real
    with torch.autocast(true.device.type, torch.bfloat16):
        estimates = magnitudes(model, size).float()
    served = parts(by_frames(estimates.abs()), mixtures=by_frames(mixture))
    return _SERVED_SHARE * distance(served, by_frames(true)) + (1 - _SERVED_SHARE) * distance(
        estimates, wanted
    )


def by_frames(spectra: torch.Tensor) -> torch.Tensor:
    """`[..., bins, frames]` laid out as the filter works, `[..., frames, bins]`."""
    return spectra.transpose(-1, -2).contiguous()


def distance(estimates: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Root mean square error of each stem, which is what SDR measures.

    L1 would do on waves; on spectra, where most bins of a stem are empty, it teaches silence.
    """
    error = estimates - true
    power = error.real.square() + error.imag.square() if error.is_complex() else error.square()
    return (power.flatten(2).mean(2) + _SILENCE).sqrt().mean()


@torch.no_grad()
def silence_time_half(model: HTDemucs) -> None:
    """The half that works on the wave is not trained, and adds nothing."""
    last = model.tdecoder[-1].conv_tr
    last.weight.zero_()
    last.bias.zero_()
