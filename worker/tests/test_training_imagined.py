"""Imagined instruments play the notes they are given, and no two sound alike."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
pytest.importorskip("scipy")

from msaas_training.imagined import Instrument, play
from msaas_training.notes import SAMPLE_RATE_HZ, Note

A3_HZ = 220.0
A3, A4 = 57, 69


def drawn(seed: int) -> Instrument:
    return Instrument.drawn(np.random.default_rng(seed))


def played(*notes: Note, instrument: Instrument, duration_s: float = 2.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    return play(notes, instrument=instrument, rng=rng, duration_s=duration_s)


def spectrum(wave: np.ndarray) -> np.ndarray:
    """Magnitudes of one side, a bin half a hertz wide."""
    return np.abs(np.fft.rfft(wave[0] * np.hanning(wave.shape[1]), 2 * SAMPLE_RATE_HZ))


def around(magnitudes: np.ndarray, *, hz: float) -> float:
    """The energy within a semitone of a frequency."""
    low, high = (round(2 * hz * ratio) for ratio in (2 ** (-1 / 12), 2 ** (1 / 12)))
    return float((magnitudes[low:high] ** 2).sum())


def loudness(wave: np.ndarray, *, at_s: float) -> float:
    """Root mean square of 50 ms."""
    start = round(at_s * SAMPLE_RATE_HZ)
    return float(np.sqrt((wave[0, start : start + SAMPLE_RATE_HZ // 20] ** 2).mean()))


@pytest.mark.parametrize("seed", range(40))
def test_below_a_note_there_is_noise_at_most(seed):
    magnitudes = spectrum(played(Note(0.0, 0.8, A3, 100), instrument=drawn(seed)))
    below = magnitudes[: round(2 * A3_HZ * 2 ** (-2 / 12))]
    assert float((below**2).sum()) < 0.15 * float((magnitudes**2).sum())


@pytest.mark.parametrize("seed", range(10))
def test_an_octave_up_every_partial_is_twice_as_high(seed):
    instrument = drawn(seed)
    strongest = int(np.argmax(instrument.strengths[:4]))
    for pitch, hz in ((A3, A3_HZ), (A4, 2 * A3_HZ)):
        magnitudes = spectrum(played(Note(0.0, 1.5, pitch, 100), instrument=instrument))
        tone = instrument.ratios[strongest] * hz
        assert around(magnitudes, hz=tone) > 3 * around(magnitudes, hz=tone * 2 ** (-4 / 12))


def test_no_two_sound_alike():
    """By the roots of their spectra, for the strongest partial outweighs all others."""
    heard = [np.sqrt(spectrum(played(Note(0.0, 0.8, A3, 100), instrument=drawn(i)))) for i in range(12)]
    heard = [each / np.linalg.norm(each) for each in heard]
    likeness = [float(heard[i] @ heard[j]) for i in range(12) for j in range(i)]
    assert max(likeness) < 0.97
    assert np.median(likeness) < 0.8


def test_half_ring_away_and_half_are_held():
    held = [
        loudness(wave, at_s=1.8) / loudness(wave, at_s=0.3)
        for wave in (
            played(Note(0.0, 2.0, A3, 100), instrument=drawn(seed), duration_s=2.5) for seed in range(40)
        )
    ]
    assert sum(share < 0.5 for share in held) >= 10
    assert sum(share > 0.5 for share in held) >= 10


@pytest.mark.parametrize("seed", range(10))
def test_a_note_ends_where_it_is_let_go_without_a_click(seed):
    instrument = drawn(seed)
    wave = played(Note(0.0, 0.5, A3, 100), instrument=instrument)[0]
    end = round((0.5 + instrument.release_s) * SAMPLE_RATE_HZ)
    assert not wave[end + 1 :].any()
    assert abs(wave[end - 5 : end]).max() < 0.01 * abs(wave).max()


def test_a_shorter_note_is_the_longer_one_until_it_is_let_go():
    instrument, until = drawn(3), round(0.3 * SAMPLE_RATE_HZ)
    short, long = Note(0.0, 0.3, A3, 100), Note(2.0, 0.6, A3, 100)
    wave, later = played(short, long, instrument=instrument, duration_s=4.0)[0], 2 * SAMPLE_RATE_HZ
    assert instrument.release_s < 1.0
    np.testing.assert_allclose(wave[later : later + until], wave[:until], atol=1e-6)
    assert loudness(wave[None], at_s=0.5) < loudness(wave[None], at_s=2.5)


def test_what_rings_past_the_end_is_cut():
    instrument = drawn(1)
    assert played(Note(0.9, 2.0, A3, 100), instrument=instrument, duration_s=1.0).shape == (2, SAMPLE_RATE_HZ)
    assert not played(Note(1.5, 2.0, A3, 100), instrument=instrument, duration_s=1.0).any()


@pytest.mark.parametrize("pitch", [26, 45, 69, 108])
@pytest.mark.parametrize("seed", range(10))
def test_every_pitch_is_finite_and_heard(seed, pitch):
    wave = played(Note(0.0, 0.5, pitch, 100), instrument=drawn(seed))
    assert np.isfinite(wave).all()
    assert wave.any()


def test_a_harder_stroke_is_louder():
    soft, hard = (played(Note(0.0, 0.5, A3, velocity), instrument=drawn(2)) for velocity in (40, 120))
    assert loudness(hard, at_s=0.1) > 3 * loudness(soft, at_s=0.1)
