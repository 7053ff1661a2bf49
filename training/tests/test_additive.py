"""Additive instruments: pitch, envelope, level and variety."""

import numpy as np
import pytest

from msaas_training.additive import Instrument, play
from msaas_training.notes import SAMPLE_RATE_HZ, Note

A3_HZ = 220.0
A3, A4 = 57, 69


def draw(seed: int) -> Instrument:
    return Instrument.draw(np.random.default_rng(seed))


def render(*notes: Note, instrument: Instrument, duration_s: float = 2.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    return play(notes, instrument=instrument, rng=rng, duration_s=duration_s)


def spectrum(wave: np.ndarray) -> np.ndarray:
    """Return the magnitudes of one channel in bins of 0.5 Hz."""
    return np.abs(np.fft.rfft(wave[0] * np.hanning(wave.shape[1]), 2 * SAMPLE_RATE_HZ))


def energy_near(magnitudes: np.ndarray, *, hz: float) -> float:
    """Return the energy within a semitone of a frequency."""
    low, high = (round(2 * hz * ratio) for ratio in (2 ** (-1 / 12), 2 ** (1 / 12)))
    return float((magnitudes[low:high] ** 2).sum())


def loudness(wave: np.ndarray, *, at_s: float) -> float:
    """Return the root mean square of 50 ms."""
    start = round(at_s * SAMPLE_RATE_HZ)
    return float(np.sqrt((wave[0, start : start + SAMPLE_RATE_HZ // 20] ** 2).mean()))


@pytest.mark.parametrize("seed", range(40))
def test_energy_below_the_fundamental_is_small(seed):
    magnitudes = spectrum(render(Note(0.0, 0.8, A3, 100), instrument=draw(seed)))
    below = magnitudes[: round(2 * A3_HZ * 2 ** (-2 / 12))]
    assert float((below**2).sum()) < 0.15 * float((magnitudes**2).sum())


@pytest.mark.parametrize("seed", range(10))
def test_partials_follow_the_pitch(seed):
    instrument = draw(seed)
    strongest = int(np.argmax(instrument.amplitudes[:4]))
    for pitch, hz in ((A3, A3_HZ), (A4, 2 * A3_HZ)):
        magnitudes = spectrum(render(Note(0.0, 1.5, pitch, 100), instrument=instrument))
        tone = instrument.ratios[strongest] * hz
        assert energy_near(magnitudes, hz=tone) > 3 * energy_near(magnitudes, hz=tone * 2 ** (-4 / 12))


def test_random_instruments_differ():
    """Compare square roots of spectra, because the strongest partial dominates."""
    spectra = [np.sqrt(spectrum(render(Note(0.0, 0.8, A3, 100), instrument=draw(i)))) for i in range(12)]
    spectra = [each / np.linalg.norm(each) for each in spectra]
    similarity = [float(spectra[i] @ spectra[j]) for i in range(12) for j in range(i)]
    assert max(similarity) < 0.97
    assert np.median(similarity) < 0.8


def test_some_instruments_decay_and_some_sustain():
    held = [
        loudness(wave, at_s=1.8) / loudness(wave, at_s=0.3)
        for wave in (
            render(Note(0.0, 2.0, A3, 100), instrument=draw(seed), duration_s=2.5) for seed in range(40)
        )
    ]
    assert sum(share < 0.5 for share in held) >= 10
    assert sum(share > 0.5 for share in held) >= 10


@pytest.mark.parametrize("seed", range(10))
def test_note_ends_after_its_release_without_a_click(seed):
    instrument = draw(seed)
    wave = render(Note(0.0, 0.5, A3, 100), instrument=instrument)[0]
    end = round((0.5 + instrument.release_s) * SAMPLE_RATE_HZ)
    assert not wave[end + 1 :].any()
    assert abs(wave[end - 5 : end]).max() < 0.01 * abs(wave).max()


def test_short_note_equals_a_longer_one_up_to_its_release():
    instrument, until = draw(3), round(0.3 * SAMPLE_RATE_HZ)
    short, long = Note(0.0, 0.3, A3, 100), Note(2.0, 0.6, A3, 100)
    wave, later = render(short, long, instrument=instrument, duration_s=4.0)[0], 2 * SAMPLE_RATE_HZ
    assert instrument.release_s < 1.0
    np.testing.assert_allclose(wave[later : later + until], wave[:until], atol=1e-6)
    assert loudness(wave[None], at_s=0.5) < loudness(wave[None], at_s=2.5)


def test_sound_after_the_end_is_cut():
    instrument = draw(1)
    assert render(Note(0.9, 2.0, A3, 100), instrument=instrument, duration_s=1.0).shape == (2, SAMPLE_RATE_HZ)
    assert not render(Note(1.5, 2.0, A3, 100), instrument=instrument, duration_s=1.0).any()


@pytest.mark.parametrize("pitch", [26, 45, 69, 108])
@pytest.mark.parametrize("seed", range(10))
def test_every_pitch_is_finite_and_audible(seed, pitch):
    wave = render(Note(0.0, 0.5, pitch, 100), instrument=draw(seed))
    assert np.isfinite(wave).all()
    assert wave.any()


def test_higher_velocity_is_louder():
    soft, hard = (render(Note(0.0, 0.5, A3, velocity), instrument=draw(2)) for velocity in (40, 120))
    assert loudness(hard, at_s=0.1) > 3 * loudness(soft, at_s=0.1)
