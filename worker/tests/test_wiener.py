"""Filtering the mixture: the stems add up to it, and each keeps what is its own, by loudness or by place."""

import pytest
import torch

from msaas_worker.separators.wiener import filtered, filtering, parts

SECOND = 44_100


def noise(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.manual_seed(seed)) * 0.1


def tone(frequency_hz: float) -> torch.Tensor:
    time = torch.arange(2 * SECOND) / SECOND
    return (0.1 * torch.sin(2 * torch.pi * frequency_hz * time)).expand(2, -1)


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("samples", [SECOND, SECOND + 777, 5000])
def test_the_stems_add_up_to_the_mixture(samples):
    mixtures = noise(2, 2, samples, seed=1)
    stems = filtered(noise(2, 4, 2, samples, seed=2), mixtures=mixtures)
    torch.testing.assert_close(stems.sum(1), mixtures, rtol=0, atol=1e-6)


def test_what_one_stem_alone_claims_goes_to_it_whole():
    low, high = tone(100.0), tone(3000.0)
    claims = torch.stack([0.3 * low, 0.5 * high])[None]
    stems = filtered(claims, mixtures=(low + high)[None])[0]
    middle = slice(SECOND // 2, -SECOND // 2)
    torch.testing.assert_close(stems[0][:, middle], low[:, middle], rtol=0, atol=2e-3)
    torch.testing.assert_close(stems[1][:, middle], high[:, middle], rtol=0, atol=2e-3)


def test_two_that_stand_apart_are_told_apart_by_their_place():
    """Of two noises in the same bins the estimates know little; one is on the left, one on the right."""
    one = noise(1, 2 * SECOND, seed=3) * torch.tensor([[1.0], [0.2]])
    other = noise(1, 2 * SECOND, seed=4) * torch.tensor([[0.2], [1.0]])
    claims = torch.stack([one + 0.5 * other, other + 0.5 * one])[None]
    found = filtered(claims, mixtures=(one + other)[None])[0]
    assert distance(found[0], one) < 0.6 * distance(claims[0, 0], one)
    assert distance(found[1], other) < 0.6 * distance(claims[0, 1], other)


def test_a_part_is_what_the_inverse_says():
    """Against the formula itself, with matrices and in float64; the sides differ in phase, too."""
    shape = (2, 3, 2, 6, 9)
    sizes = torch.rand(shape, dtype=torch.float64, generator=torch.manual_seed(10))
    mixtures = torch.randn(2, 2, 6, 9, dtype=torch.complex128, generator=torch.manual_seed(11))
    mixtures[:, 1] = 0.5 * mixtures[:, 1] + 1j * mixtures[:, 0]
    found = parts(sizes.float(), mixtures=mixtures.to(torch.complex64))
    torch.testing.assert_close(found, expected(sizes, mixtures).to(torch.complex64), rtol=1e-3, atol=2e-3)


def expected(sizes: torch.Tensor, mixtures: torch.Tensor) -> torch.Tensor:
    claims = sizes / sizes.sum(1, keepdim=True) * mixtures[:, None]
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
    mixtures = torch.cat([side, -side])[None]
    stems = filtered(mixtures[:, None] * torch.tensor([0.7, 0.3])[None, :, None, None], mixtures=mixtures)
    assert bool(stems.isfinite().all())
    assert distance(stems.sum(1), mixtures) < 1e-5


def test_a_mixture_without_width_is_shared_by_loudness():
    loud, soft = noise(1, SECOND, seed=5).expand(2, -1), noise(1, SECOND, seed=6).expand(2, -1)
    stems = filtered(torch.stack([2 * loud, 2 * loud, loud])[None], mixtures=(loud + soft)[None])[0]
    assert bool(stems.isfinite().all())
    torch.testing.assert_close(stems[0], stems[1], rtol=0, atol=1e-5)
    assert float(stems[0].square().mean() / stems[2].square().mean()) == pytest.approx(16, rel=0.1)


def test_silence_stays_silent():
    stems = filtered(torch.zeros(1, 4, 2, SECOND), mixtures=torch.zeros(1, 2, SECOND))
    assert float(stems.abs().max()) == 0


def test_every_magnitude_can_be_learnt_from():
    """No estimate, not silence either, gives a gradient that is no number."""
    sizes = torch.rand(1, 4, 2, 8, 16, generator=torch.manual_seed(7))
    sizes[..., :4] = 0
    mixtures = torch.randn(1, 2, 8, 16, dtype=torch.complex64, generator=torch.manual_seed(8))
    mixtures[..., 2:6] = 0
    sizes.requires_grad_()
    parts(sizes, mixtures=mixtures).abs().square().sum().backward()
    assert bool(sizes.grad.isfinite().all())
    assert float(sizes.grad.abs().max()) > 0


def test_a_forward_pass_that_filters_takes_what_the_plain_one_takes():
    mixtures = noise(3, 2, SECOND, seed=9)
    stems = filtering(lambda given: given[:, None].repeat(1, 4, 1, 1) / 3)(mixtures)
    torch.testing.assert_close(stems, mixtures[:, None].repeat(1, 4, 1, 1) / 4, rtol=0, atol=1e-5)
