"""Filtering the mixture: the parts add up to it, and each keeps what is its own, by loudness or by place."""

import pytest
import torch

from msaas_worker.separators.starter.wiener import parts

SECOND = 44_100


def noise(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.manual_seed(seed)) * 0.1


def tone(frequency_hz: float) -> torch.Tensor:
    time = torch.arange(2 * SECOND) / SECOND
    return (0.1 * torch.sin(2 * torch.pi * frequency_hz * time)).expand(2, -1)


def spectra(waves: torch.Tensor) -> torch.Tensor:
    """`[..., samples]` as the filter wants it, `[..., frames, bins]`."""
    found = torch.stft(
        waves.reshape(-1, waves.shape[-1]), 4096, 1024, window=torch.hann_window(4096), return_complex=True
    )
    return found.transpose(1, 2).reshape(*waves.shape[:-1], found.shape[2], found.shape[1])


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


def shares_of(claims: torch.Tensor) -> torch.Tensor:
    """What part of all magnitudes each of the spectra has; of silence the same part each."""
    sizes = claims.abs() + 1e-6
    return sizes / sizes.sum(1, keepdim=True)


def drawn_shares(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.manual_seed(seed)).softmax(1)


def test_the_parts_add_up_to_the_mixture():
    mixtures = spectra(noise(2, 2, SECOND, seed=1))
    shares = drawn_shares(2, 4, *mixtures.shape[1:], seed=2)
    found = parts(shares, mixtures=mixtures).sum(1)
    assert distance(found, mixtures) < 1e-4


def test_what_one_stem_alone_claims_goes_to_it_whole():
    low, high = spectra(tone(100.0)), spectra(tone(3000.0))
    found = parts(shares_of(torch.stack([low, high])[None]), mixtures=(low + high)[None])[0]
    assert distance(found[0], low) < 0.02
    assert distance(found[1], high) < 0.02


def test_two_that_stand_apart_are_told_apart_by_their_place():
    """Of two noises in the same bins the shares know little; one is on the left, one on the right."""
    one = noise(1, 2 * SECOND, seed=3) * torch.tensor([[1.0], [0.2]])
    other = noise(1, 2 * SECOND, seed=4) * torch.tensor([[0.2], [1.0]])
    guesses = spectra(torch.stack([one + 0.5 * other, other + 0.5 * one]))[None]
    mixtures = spectra(one + other)[None]
    shares = shares_of(guesses)
    found = parts(shares, mixtures=mixtures)[0]
    for part, reservation, true in zip(found, shares[0], (spectra(one), spectra(other)), strict=True):
        assert distance(part, true) < 0.75 * distance(reservation * mixtures[0], true)


def test_a_part_is_what_the_inverse_says():
    """Against the formula itself, with matrices and in float64; the sides differ in phase, too."""
    shares = drawn_shares(2, 3, 2, 6, 9, seed=10).double()
    mixtures = torch.randn(2, 2, 6, 9, dtype=torch.complex128, generator=torch.manual_seed(11))
    mixtures[:, 1] = 0.5 * mixtures[:, 1] + 1j * mixtures[:, 0]
    found = parts(shares.float(), mixtures=mixtures.to(torch.complex64))
    torch.testing.assert_close(found, expected(shares, mixtures).to(torch.complex64), rtol=1e-3, atol=2e-3)


def expected(shares: torch.Tensor, mixtures: torch.Tensor) -> torch.Tensor:
    claims = shares * mixtures[:, None]
    power = claims.abs().square().mean(2)
    outer = torch.einsum("bjatf,bjctf->bjfac", claims, claims.conj())
    near = [(max(0, f - 2), f + 3) for f in range(outer.shape[2])]
    sums = torch.stack([outer[:, :, low:high].sum(2) for low, high in near], dim=2)
    totals = torch.stack([power.sum(2)[:, :, low:high].sum(2) for low, high in near], dim=2)
    places = 0.99 * sums / totals[..., None, None] + 0.01 * torch.eye(2)
    of_stems = power[..., None, None] * places[:, :, None]  # [batch, sources, frames, bins, 2, 2]
    filters = of_stems @ torch.linalg.inv(of_stems.sum(1))[:, None]
    return torch.einsum("bjtfac,bctf->bjatf", filters, mixtures)


@pytest.mark.parametrize("loudness", [1e-6, 1.0, 1e9])
def test_sides_that_are_opposite_and_any_loudness_are_filtered(loudness):
    """Such a song has no width to be centred by, so that it comes as loud as it can."""
    side = loudness * noise(1, SECOND, seed=12)
    mixtures = spectra(torch.cat([side, -side])[None])
    shares = torch.tensor([0.7, 0.3])[None, :, None, None, None].expand(1, 2, *mixtures.shape[1:])
    found = parts(shares, mixtures=mixtures)
    assert bool(found.isfinite().all())
    assert distance(found.sum(1), mixtures) < 1e-3


def test_a_mixture_without_width_is_shared_by_loudness():
    mixtures = spectra(noise(1, SECOND, seed=5).expand(2, -1))[None]
    shares = torch.tensor([0.4, 0.4, 0.2])[None, :, None, None, None].expand(1, 3, *mixtures.shape[1:])
    found = parts(shares, mixtures=mixtures)[0]
    assert bool(found.isfinite().all())
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-4)
    louder = found[0].abs().square().mean() / found[2].abs().square().mean()
    assert float(louder) == pytest.approx(16, rel=0.1)


def test_silence_stays_silent():
    found = parts(
        drawn_shares(1, 4, 2, 8, 16, seed=6), mixtures=torch.zeros(1, 2, 8, 16, dtype=torch.complex64)
    )
    assert float(found.abs().max()) == 0


def test_every_share_can_be_learnt_from():
    """No share, and silence neither, gives a gradient that is no number."""
    answers = torch.randn(1, 4, 2, 8, 16, generator=torch.manual_seed(7))
    answers[:, 0, ..., :4] = -200
    mixtures = torch.randn(1, 2, 8, 16, dtype=torch.complex64, generator=torch.manual_seed(8))
    mixtures[..., 2:6] = 0
    answers.requires_grad_()
    parts(answers.softmax(1), mixtures=mixtures).abs().square().sum().backward()
    assert answers.grad is not None
    assert bool(answers.grad.isfinite().all())
    assert float(answers.grad.abs().max()) > 0
