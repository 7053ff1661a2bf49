"""The instruments of the varied training songs are others than their soundfonts and kits hold."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
pytest.importorskip("scipy")
pytest.importorskip(
    "fluidsynth", reason="training needs worker/training/requirements.txt", exc_type=ImportError
)

from msaas_training import effects, oneshots
from msaas_training.notes import SAMPLE_RATE_HZ, Note
from msaas_training.palettes import PALETTES
from msaas_training.soundfonts import AS_IT_IS, DRUM_BANK, FONT_FOLDER, Bend, sampler
from msaas_training.styles import CLOSED_HAT, KICK, SNARE

FONT = PALETTES["varied"].fonts[0]
pytestmark = pytest.mark.skipif(
    not (FONT_FOLDER / FONT).exists(), reason="the soundfonts are Debian packages that make music only"
)
A_SEMITONE = 2 ** (1 / 12) - 1
A_PIANO, A_DRUMKIT = (0, 0), (DRUM_BANK, 0)


def played(bend: Bend, *, pitch: int = 60, instrument: tuple[int, int] = A_PIANO) -> np.ndarray:
    bank, program = instrument
    note = Note(0.0, 0.8, pitch, 100)
    return sampler(FONT).play([note], bank=bank, program=program, duration_s=1.0, bend=bend)


def pitch_hz(wave: np.ndarray) -> float:
    """The strongest repetition between 150 and 600 Hz."""
    mono = wave.mean(0)
    correlation = np.fft.irfft(np.abs(np.fft.rfft(mono, 2 * mono.size)) ** 2)
    low, high = SAMPLE_RATE_HZ // 600, SAMPLE_RATE_HZ // 150
    return SAMPLE_RATE_HZ / (low + int(correlation[low:high].argmax()))


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Of two spectra without their phases."""
    one, other = (np.abs(np.fft.rfft(wave.mean(0))) for wave in (one, other))
    return float((one @ other) / np.sqrt((one @ one) * (other @ other)))


@pytest.mark.parametrize("semitones", [-7, 5])
def test_another_body_plays_the_same_note(semitones):
    plain, bent = played(AS_IT_IS), played(Bend(semitones))
    assert pitch_hz(bent) == pytest.approx(pitch_hz(plain), rel=A_SEMITONE)
    assert likeness(plain, bent) < 0.98


def test_a_drum_keeps_its_key_and_is_tuned():
    plain, tuned = (played(bend, pitch=SNARE, instrument=A_DRUMKIT) for bend in (AS_IT_IS, Bend(-3)))
    slower = np.arange(0, SAMPLE_RATE_HZ - 1, 2 ** (-3 / 12))[:SAMPLE_RATE_HZ]
    by_hand = np.stack([np.interp(slower, np.arange(SAMPLE_RATE_HZ), side) for side in plain])
    assert likeness(plain, tuned) < 0.9
    assert likeness(by_hand, tuned) > 0.9


def test_a_bend_is_gone_with_the_next_part():
    plain = played(AS_IT_IS)
    dark = played(Bend(moved={8: -2000}))
    assert likeness(plain, dark) < 0.98
    assert likeness(plain, played(AS_IT_IS)) > 0.999


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("effect", [effects.resonances, effects.chorus])
def test_an_effect_makes_another_sound_of_the_same_length(effect, seed):
    plain = played(AS_IT_IS)
    made = effect(plain, rng=np.random.default_rng(seed))
    assert made.shape == plain.shape
    assert np.isfinite(made).all()
    assert 0.05 < likeness(plain, made) < 0.9999


@pytest.mark.skipif(not oneshots.FOLDER.exists(), reason="the kits are a Debian package")
def test_the_recorded_hits_are_those_of_a_kit():
    found = oneshots.recordings()
    assert {KICK, SNARE, CLOSED_HAT} <= set(found)
    one, other = (oneshots.drawn(KICK, rng=np.random.default_rng(seed)) for seed in (1, 2))
    assert one is not None
    assert other is not None
    assert np.abs(one).max() <= 1
    assert one.size != other.size
