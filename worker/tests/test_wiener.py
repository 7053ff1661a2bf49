"""The Wiener filter: stems add up to the mixture and are separated by loudness and by stereo position."""

import pytest
import torch

from msaas_worker.separators.starter.wiener import apply_masks

SECOND = 44_100


def noise(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.manual_seed(seed)) * 0.1


def tone(frequency_hz: float) -> torch.Tensor:
    time = torch.arange(2 * SECOND) / SECOND
    return (0.1 * torch.sin(2 * torch.pi * frequency_hz * time)).expand(2, -1)


def spectra(waves: torch.Tensor) -> torch.Tensor:
    """Return the spectra of `[…, samples]` in the layout of the filter, `[…, frames, bins]`."""
    found = torch.stft(
        waves.reshape(-1, waves.shape[-1]), 4096, 1024, window=torch.hann_window(4096), return_complex=True
    )
    return found.transpose(1, 2).reshape(*waves.shape[:-1], found.shape[2], found.shape[1])


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


def make_masks(spectra: torch.Tensor) -> torch.Tensor:
    """Return the ratio of each magnitude to the sum of all; equal masks for silence."""
    sizes = spectra.abs() + 1e-6
    return sizes / sizes.sum(1, keepdim=True)


def random_masks(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.manual_seed(seed)).softmax(1)


def test_stems_add_up_to_the_mixture():
    mixtures = spectra(noise(2, 2, SECOND, seed=1))
    masks = random_masks(2, 4, *mixtures.shape[1:], seed=2)
    found = apply_masks(masks, mixtures=mixtures).sum(1)
    assert distance(found, mixtures) < 1e-4


def test_bin_that_one_stem_masks_alone_belongs_to_this_stem():
    low, high = spectra(tone(100.0)), spectra(tone(3000.0))
    found = apply_masks(make_masks(torch.stack([low, high])[None]), mixtures=(low + high)[None])[0]
    assert distance(found[0], low) < 0.02
    assert distance(found[1], high) < 0.02


def test_stems_of_the_same_bins_are_separated_by_stereo_position():
    """Masks alone hardly separate two noises, one on the left and one on the right."""
    one = noise(1, 2 * SECOND, seed=3) * torch.tensor([[1.0], [0.2]])
    other = noise(1, 2 * SECOND, seed=4) * torch.tensor([[0.2], [1.0]])
    guesses = spectra(torch.stack([one + 0.5 * other, other + 0.5 * one]))[None]
    mixtures = spectra(one + other)[None]
    masks = make_masks(guesses)
    found = apply_masks(masks, mixtures=mixtures)[0]
    for stem, mask, true in zip(found, masks[0], (spectra(one), spectra(other)), strict=True):
        assert distance(stem, true) < 0.75 * distance(mask * mixtures[0], true)


def test_filter_computes_the_formula():
    """The reference uses matrices and float64. The sides differ in phase, too."""
    masks = random_masks(2, 3, 2, 6, 9, seed=10).double()
    mixtures = torch.randn(2, 2, 6, 9, dtype=torch.complex128, generator=torch.manual_seed(11))
    mixtures[:, 1] = 0.5 * mixtures[:, 1] + 1j * mixtures[:, 0]
    found = apply_masks(masks.float(), mixtures=mixtures.to(torch.complex64))
    torch.testing.assert_close(
        found, compute_formula(masks, mixtures).to(torch.complex64), rtol=1e-3, atol=2e-3
    )


def compute_formula(masks: torch.Tensor, mixtures: torch.Tensor) -> torch.Tensor:
    masked = masks * mixtures[:, None]
    power = masked.abs().square().mean(2)
    outer = torch.einsum("bjatf,bjctf->bjfac", masked, masked.conj())
    near = [(max(0, f - 2), f + 3) for f in range(outer.shape[2])]
    sums = torch.stack([outer[:, :, low:high].sum(2) for low, high in near], dim=2)
    totals = torch.stack([power.sum(2)[:, :, low:high].sum(2) for low, high in near], dim=2)
    places = 0.99 * sums / totals[..., None, None] + 0.01 * torch.eye(2)
    of_stems = power[..., None, None] * places[:, :, None]  # [batch, sources, frames, bins, 2, 2]
    filters = of_stems @ torch.linalg.inv(of_stems.sum(1))[:, None]
    return torch.einsum("bjtfac,bctf->bjatf", filters, mixtures)


@pytest.mark.parametrize("loudness", [1e-6, 1.0, 1e9])
def test_opposite_sides_of_any_level_are_filtered(loudness):
    """The downmix of such a song is silent, so it reaches the filter at any level."""
    side = loudness * noise(1, SECOND, seed=12)
    mixtures = spectra(torch.cat([side, -side])[None])
    masks = torch.tensor([0.7, 0.3])[None, :, None, None, None].expand(1, 2, *mixtures.shape[1:])
    found = apply_masks(masks, mixtures=mixtures)
    assert bool(found.isfinite().all())
    assert distance(found.sum(1), mixtures) < 1e-3


def test_mono_mixture_is_separated_by_loudness():
    mixtures = spectra(noise(1, SECOND, seed=5).expand(2, -1))[None]
    masks = torch.tensor([0.4, 0.4, 0.2])[None, :, None, None, None].expand(1, 3, *mixtures.shape[1:])
    found = apply_masks(masks, mixtures=mixtures)[0]
    assert bool(found.isfinite().all())
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-4)
    louder = found[0].abs().square().mean() / found[2].abs().square().mean()
    assert float(louder) == pytest.approx(16, rel=0.1)


def test_stems_of_silence_are_silent():
    found = apply_masks(
        random_masks(1, 4, 2, 8, 16, seed=6), mixtures=torch.zeros(1, 2, 8, 16, dtype=torch.complex64)
    )
    assert float(found.abs().max()) == 0


def test_gradients_of_masks_are_finite():
    """Also for masks of 0 and for silence."""
    logits = torch.randn(1, 4, 2, 8, 16, generator=torch.manual_seed(7))
    logits[:, 0, ..., :4] = -200
    mixtures = torch.randn(1, 2, 8, 16, dtype=torch.complex64, generator=torch.manual_seed(8))
    mixtures[..., 2:6] = 0
    logits.requires_grad_()
    apply_masks(logits.softmax(1), mixtures=mixtures).abs().square().sum().backward()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())
    assert float(logits.grad.abs().max()) > 0
