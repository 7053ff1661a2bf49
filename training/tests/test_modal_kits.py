"""Modal kits: register, length, level, variety and panning."""

import numpy as np
import pytest

from msaas_training.modal_kits import PIECE_TYPES, Piece, add_random_effects, play
from msaas_training.notes import SAMPLE_RATE_HZ, Note
from msaas_training.styles import (
    CLAVES,
    CLOSED_HAT,
    CRASH,
    HIGH_TOM,
    KICK,
    LOW_TOM,
    OPEN_HAT,
    RIDE,
    SNARE,
)

KEYS = [*PIECE_TYPES, CRASH, RIDE]


def strike(key: int, *, seed: int, velocity: int = 100) -> np.ndarray:
    return Piece.draw(key, np.random.default_rng(seed)).strike(velocity)


def energy(wave: np.ndarray) -> np.ndarray:
    """Return the energy in bins of 1 Hz."""
    return np.abs(np.fft.rfft(wave, max(wave.size, SAMPLE_RATE_HZ)))[: SAMPLE_RATE_HZ // 2] ** 2


def loudness(wave: np.ndarray) -> float:
    return float(np.sqrt((wave**2).mean()))


def median_hz(wave: np.ndarray) -> float:
    """Return the median frequency of the energy."""
    magnitudes = np.abs(np.fft.rfft(wave)) ** 2
    place = np.searchsorted(np.cumsum(magnitudes), magnitudes.sum() / 2)
    return float(np.fft.rfftfreq(wave.size, 1 / SAMPLE_RATE_HZ)[place])


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("seed", range(10))
def test_every_piece_is_finite_audible_and_fades_out(key, seed):
    wave = strike(key, seed=seed)
    assert np.isfinite(wave).all()
    assert 0.01 < np.abs(wave).max() < 12
    assert loudness(wave[-SAMPLE_RATE_HZ // 50 :]) < 0.03 * np.abs(wave).max()
    assert wave.size <= 2.5 * SAMPLE_RATE_HZ


@pytest.mark.parametrize(("lower", "higher"), [(KICK, SNARE), (LOW_TOM, HIGH_TOM), (SNARE, CLOSED_HAT)])
def test_pieces_have_their_register(lower, higher):
    below, above = ([median_hz(strike(key, seed=seed)) for seed in range(30)] for key in (lower, higher))
    assert np.median(below) < 0.7 * np.median(above)


def test_open_hat_is_longer_than_closed_hat():
    lengths = {
        key: np.median([strike(key, seed=i).size for i in range(20)]) for key in (OPEN_HAT, CLOSED_HAT)
    }
    assert lengths[OPEN_HAT] > 2 * lengths[CLOSED_HAT]


def test_kicks_and_snares_are_louder_than_cymbals():
    keys = (KICK, SNARE, CLOSED_HAT, CRASH)
    peaks = {key: np.median([np.abs(strike(key, seed=i)).max() for i in range(30)]) for key in keys}
    assert min(peaks[KICK], peaks[SNARE]) > 2 * max(peaks[CLOSED_HAT], peaks[CRASH])


@pytest.mark.parametrize("key", [KICK, SNARE, LOW_TOM, RIDE])
def test_random_pieces_differ(key):
    """Compare fourth roots of band energies, because the strongest mode dominates."""
    bands = [energy(strike(key, seed=i))[:20_000].reshape(-1, 20).sum(1) ** 0.25 for i in range(12)]
    spectra = [each / np.linalg.norm(each) for each in bands]
    similarity = [float(spectra[i] @ spectra[j]) for i in range(12) for j in range(i)]
    assert max(similarity) < 0.999
    assert np.median(similarity) < 0.95


def draw_silence(time: np.ndarray, **_: object) -> np.ndarray:
    return np.zeros(time.size)


def test_high_modes_do_not_alias():
    """The highest mode of claves could be at 31 kHz."""
    for seed in range(30):
        claves = Piece.draw(CLAVES, np.random.default_rng(seed), draw_noise=draw_silence)
        spectra = energy(claves.strike(100))
        assert spectra[15_000:].sum() < 1e-3 * spectra.sum()


def test_higher_velocity_is_louder_and_brighter():
    for seed in range(10):
        soft, hard = (strike(SNARE, seed=seed, velocity=velocity) for velocity in (40, 120))
        assert np.abs(hard).max() > 3**1.5 * np.abs(soft).max()
        assert median_hz(hard) > median_hz(soft)


def play_dry(notes: list[Note], *, seed: int, duration_s: float) -> np.ndarray:
    """Render without reverb and saturation."""
    return play(
        notes,
        rng=np.random.default_rng(seed),
        duration_s=duration_s,
        add_effects=lambda kit, *, rng: kit,
    )


def test_each_key_keeps_its_piece():
    notes = [Note(0.0, 0.2, KICK, 100), Note(3.0, 0.2, KICK, 100), Note(3.0, 0.2, SNARE, 100)]
    kit = play_dry(notes[:2], seed=0, duration_s=6.0)
    np.testing.assert_array_equal(kit[:, : 3 * SAMPLE_RATE_HZ], kit[:, 3 * SAMPLE_RATE_HZ :])
    assert kit.any()
    both = play_dry(notes, seed=0, duration_s=6.0)
    assert not np.array_equal(both[:, 3 * SAMPLE_RATE_HZ :], kit[:, 3 * SAMPLE_RATE_HZ :])


@pytest.mark.parametrize("seed", range(6))
def test_pieces_are_panned_and_kicks_are_near_the_centre(seed):
    for key in (KICK, RIDE):
        pan = Piece.draw(key, np.random.default_rng(seed)).pan
        kit = play_dry([Note(0.0, 0.2, key, 100)], seed=seed, duration_s=1.0)
        assert loudness(kit[1]) / loudness(kit[0]) == pytest.approx((1 + pan) / (1 - pan), rel=1e-4)
        assert abs(pan) <= (0.15 if key == KICK else 0.7)


def test_sound_after_the_end_is_cut():
    notes = [Note(0.9, 0.2, CRASH, 100), Note(1.5, 0.2, KICK, 100)]
    short, long = (play_dry(notes, seed=0, duration_s=length_s) for length_s in (1.0, 5.0))
    np.testing.assert_array_equal(short, long[:, :SAMPLE_RATE_HZ])
    assert short[:, -1000:].any()


def test_most_kits_have_reverb():
    """A click that sounds on has a reverb."""
    click = np.zeros((2, SAMPLE_RATE_HZ), np.float32)
    click[:, 0] = 0.5
    kits = [add_random_effects(click, rng=np.random.default_rng(seed)) for seed in range(60)]
    assert 30 < sum(bool(kit[:, 100:].any()) for kit in kits) < 55
