"""Sharing out the residual: the stems add up to the mixture, and a stem keeps what is its own."""

import pytest
import torch

from msaas_worker.separators.residual import shared_out, sharing

SECOND = 44_100


def noise(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.manual_seed(seed)) * 0.1


def tone(frequency_hz: float) -> torch.Tensor:
    time = torch.arange(2 * SECOND) / SECOND
    return (0.1 * torch.sin(2 * torch.pi * frequency_hz * time)).expand(2, -1)


@pytest.mark.parametrize("samples", [SECOND, SECOND + 777, 5000])
def test_the_stems_add_up_to_the_mixture(samples):
    mixtures = noise(2, 2, samples, seed=1)
    stems = shared_out(noise(2, 4, 2, samples, seed=2), mixtures=mixtures)
    torch.testing.assert_close(stems.sum(1), mixtures, rtol=0, atol=1e-6)


def test_what_one_stem_alone_claims_goes_to_it_whole():
    low, high = tone(100.0), tone(3000.0)
    claims = torch.stack([0.3 * low, 0.5 * high])[None]
    stems = shared_out(claims, mixtures=(low + high)[None])[0]
    middle = slice(SECOND // 2, -SECOND // 2)
    torch.testing.assert_close(stems[0][:, middle], low[:, middle], rtol=0, atol=1e-3)
    torch.testing.assert_close(stems[1][:, middle], high[:, middle], rtol=0, atol=1e-3)


def test_silence_stays_silent():
    stems = shared_out(torch.zeros(1, 4, 2, SECOND), mixtures=torch.zeros(1, 2, SECOND))
    assert float(stems.abs().max()) == 0


def test_a_forward_pass_that_shares_takes_what_the_plain_one_takes():
    mixtures = noise(3, 2, SECOND, seed=3)
    stems = sharing(lambda given: given[:, None].repeat(1, 4, 1, 1) / 3)(mixtures)
    torch.testing.assert_close(stems, mixtures[:, None].repeat(1, 4, 1, 1) / 4, rtol=0, atol=1e-5)
