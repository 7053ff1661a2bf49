"""Imagined kits play the drums they are given, and no two sound alike."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
pytest.importorskip("scipy")

from msaas_training import effects, shells
from msaas_training.notes import SAMPLE_RATE_HZ, Note
from msaas_training.shells import KINDS, Piece, play
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

KEYS = [*KINDS, CRASH, RIDE]


def struck(key: int, *, seed: int, velocity: int = 100) -> np.ndarray:
    return Piece.drawn(key, np.random.default_rng(seed)).struck(velocity)


def energy(wave: np.ndarray) -> np.ndarray:
    """Of each hertz."""
    return np.abs(np.fft.rfft(wave, max(wave.size, SAMPLE_RATE_HZ)))[: SAMPLE_RATE_HZ // 2] ** 2


def loudness(wave: np.ndarray) -> float:
    return float(np.sqrt((wave**2).mean()))


def middle_hz(wave: np.ndarray) -> float:
    """Half of the energy lies below."""
    magnitudes = np.abs(np.fft.rfft(wave)) ** 2
    place = np.searchsorted(np.cumsum(magnitudes), magnitudes.sum() / 2)
    return float(np.fft.rfftfreq(wave.size, 1 / SAMPLE_RATE_HZ)[place])


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("seed", range(10))
def test_every_piece_is_finite_heard_and_ends_softly(key, seed):
    wave = struck(key, seed=seed)
    assert np.isfinite(wave).all()
    assert 0.01 < np.abs(wave).max() < 12
    assert loudness(wave[-SAMPLE_RATE_HZ // 50 :]) < 0.03 * np.abs(wave).max()
    assert wave.size <= 2.5 * SAMPLE_RATE_HZ


@pytest.mark.parametrize(("lower", "higher"), [(KICK, SNARE), (LOW_TOM, HIGH_TOM), (SNARE, CLOSED_HAT)])
def test_pieces_lie_where_they_should(lower, higher):
    below, above = ([middle_hz(struck(key, seed=seed)) for seed in range(30)] for key in (lower, higher))
    assert np.median(below) < 0.7 * np.median(above)


def test_an_open_hat_rings_longer_than_a_closed_one():
    lengths = {
        key: np.median([struck(key, seed=i).size for i in range(20)]) for key in (OPEN_HAT, CLOSED_HAT)
    }
    assert lengths[OPEN_HAT] > 2 * lengths[CLOSED_HAT]


def test_kicks_and_snares_outweigh_cymbals():
    loud = {key: np.median([np.abs(struck(key, seed=i)).max() for i in range(30)]) for key in KEYS}
    assert min(loud[KICK], loud[SNARE]) > 2 * max(loud[CLOSED_HAT], loud[CRASH])


@pytest.mark.parametrize("key", [KICK, SNARE, LOW_TOM, RIDE])
def test_no_two_sound_alike(key):
    """By the roots of their spectra in bands of 20 Hz, for the strongest mode outweighs all others."""
    bands = [energy(struck(key, seed=i))[:20_000].reshape(-1, 20).sum(1) ** 0.25 for i in range(12)]
    heard = [each / np.linalg.norm(each) for each in bands]
    likeness = [float(heard[i] @ heard[j]) for i in range(12) for j in range(i)]
    assert max(likeness) < 0.999
    assert np.median(likeness) < 0.95


def test_no_mode_folds_back_from_above_what_a_sample_rate_holds(monkeypatch):
    """The highest of claves would lie at up to 31 kHz."""
    monkeypatch.setattr(shells, "_rattling", lambda time, **_: np.zeros(time.size))
    for seed in range(30):
        heard = energy(struck(CLAVES, seed=seed))
        assert heard[15_000:].sum() < 1e-3 * heard.sum()


def test_a_harder_stroke_is_louder_and_brighter():
    for seed in range(10):
        soft, hard = (struck(SNARE, seed=seed, velocity=velocity) for velocity in (40, 120))
        assert np.abs(hard).max() > 3**1.5 * np.abs(soft).max()
        assert middle_hz(hard) > middle_hz(soft)


@pytest.fixture
def nowhere(monkeypatch):
    """No kit stands in a room or is driven."""
    monkeypatch.setattr(shells, "_in_a_room", lambda kit, *, rng: kit)
    monkeypatch.setattr(effects, "drive", lambda kit, *, gain_db: kit)


@pytest.mark.usefixtures("nowhere")
def test_a_key_is_one_piece_all_along():
    notes = [Note(0.0, 0.2, KICK, 100), Note(3.0, 0.2, KICK, 100), Note(3.0, 0.2, SNARE, 100)]
    kit = play(notes[:2], rng=np.random.default_rng(0), duration_s=6.0)
    np.testing.assert_array_equal(kit[:, : 3 * SAMPLE_RATE_HZ], kit[:, 3 * SAMPLE_RATE_HZ :])
    assert kit.any()
    both = play(notes, rng=np.random.default_rng(0), duration_s=6.0)
    assert not np.array_equal(both[:, 3 * SAMPLE_RATE_HZ :], kit[:, 3 * SAMPLE_RATE_HZ :])


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("seed", range(6))
def test_pieces_stand_where_they_are_placed_and_kicks_in_the_middle(seed):
    for key in (KICK, RIDE):
        side = Piece.drawn(key, np.random.default_rng(seed)).side
        kit = play([Note(0.0, 0.2, key, 100)], rng=np.random.default_rng(seed), duration_s=1.0)
        assert loudness(kit[1]) / loudness(kit[0]) == pytest.approx((1 + side) / (1 - side), rel=1e-4)
        assert abs(side) <= (0.15 if key == KICK else 0.7)


@pytest.mark.usefixtures("nowhere")
def test_what_rings_past_the_end_is_cut():
    notes = [Note(0.9, 0.2, CRASH, 100), Note(1.5, 0.2, KICK, 100)]
    short, long = (play(notes, rng=np.random.default_rng(0), duration_s=length_s) for length_s in (1.0, 5.0))
    np.testing.assert_array_equal(short, long[:, :SAMPLE_RATE_HZ])
    assert short[:, -1000:].any()


def test_most_kits_stand_in_a_room(monkeypatch):
    rooms = []
    monkeypatch.setattr(effects, "room", lambda kit, **_: rooms.append(1) or kit)
    for seed in range(60):
        play([Note(0.0, 0.2, KICK, 100)], rng=np.random.default_rng(seed), duration_s=0.1)
    assert 30 < len(rooms) < 55
