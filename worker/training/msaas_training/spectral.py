"""The spectral half of an HTDemucs without transformer, trained on its own: no wave, half the work."""

from __future__ import annotations

import torch
from demucs.htdemucs import HTDemucs

from msaas_training.spectra import BINS

#: Power below which an error no longer counts: -60 dB.
_SILENCE = 1e-6
#: How much of the loss is on stems with the residual shared out, as they are served (but for quieter bins).
_MASKS_SHARE = 0.75


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
    """Distance to the magnitude a stem ought to have under the phase of the mixture (Erdogan et al. 2015).

    `true` are the stems' spectra, complex `[batch, stems, channels, bins, frames]`.
    """
    mixture = true.sum(1)
    size = mixture.abs()
    wanted = (true * (mixture.conj() / (size + 1e-8))[:, None]).real
    with torch.autocast(true.device.type, torch.bfloat16):
        estimates = magnitudes(model, size).float()
    masked = distance(shares(estimates) * size[:, None], wanted)
    return _MASKS_SHARE * masked + (1 - _MASKS_SHARE) * distance(estimates, wanted)


def shares(estimates: torch.Tensor) -> torch.Tensor:
    """What part of a mixture each stem gets once the residual is shared out."""
    powers = estimates.square() + _SILENCE
    return powers / powers.sum(1, keepdim=True)


def distance(estimates: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Root mean square error of each stem, which is what SDR measures.

    L1 would do on waves; on spectra, where most bins of a stem are empty, it teaches silence.
    """
    return ((estimates - true).square().flatten(2).mean(2) + _SILENCE).sqrt().mean()


@torch.no_grad()
def silence_time_half(model: HTDemucs) -> None:
    """The half that works on the wave is not trained, and adds nothing."""
    last = model.tdecoder[-1].conv_tr
    last.weight.zero_()
    last.bias.zero_()
