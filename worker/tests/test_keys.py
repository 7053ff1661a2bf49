"""Keys of chords that are played by tones with overtones."""

import numpy as np
import pytest

from msaas_worker.analysis.harmony import PitchMeter
from msaas_worker.analysis.keys import FoundKey, find_key
from msaas_worker.audio.decoded import SAMPLERATE, Audio

#: Semitones above the tonic. The cadence ends on it.
CADENCES = {
    "major": ((0, 4, 7), (5, 9, 12), (7, 11, 14), (0, 4, 7)),
    "minor": ((0, 3, 7), (5, 8, 12), (7, 10, 14), (0, 3, 7)),
}
NAMES = {
    "major": ["C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"],
    "minor": ["C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B"],
}


def play(mode: str, *, tonic: int, cents: float = 0.0) -> Audio:
    """Return a cadence of chords of a second, each tone with eight overtones."""
    time = np.arange(SAMPLERATE) / SAMPLERATE
    chords = []
    for chord in CADENCES[mode]:
        hz = [440 * 2 ** ((48 + tonic + step + cents / 100 - 69) / 12) for step in chord]
        waves = [np.sin(2 * np.pi * n * each * time) / n for each in hz for n in range(1, 9)]
        chords.append(0.05 * np.sum(waves, axis=0) * np.exp(-time))
    audio = np.concatenate(chords * 2).astype(np.float32)
    return np.stack([audio, audio])


def key_of(audio: Audio) -> FoundKey | None:
    meter = PitchMeter()
    for start in range(0, audio.shape[-1], 30_000):
        meter.feed(audio[:, start : start + 30_000])
    return find_key(meter.finish().classes)


@pytest.mark.parametrize("mode", CADENCES)
@pytest.mark.parametrize("tonic", range(12))
def test_cadence_has_its_key(tonic: int, mode: str) -> None:
    found = key_of(play(mode, tonic=tonic))
    assert found
    assert found.best.name == f"{NAMES[mode][tonic]} {mode}"
    assert found.best.confidence > 1 / 3


@pytest.mark.parametrize("cents", [-45, -30, 20, 45])
def test_key_does_not_depend_on_the_tuning(cents: float) -> None:
    found = key_of(play("minor", tonic=9, cents=cents))
    assert found
    assert found.best.name == "A minor"


def test_silence_has_no_key() -> None:
    assert key_of(np.zeros((2, 5 * SAMPLERATE), np.float32)) is None
    assert key_of(np.zeros((2, 0), np.float32)) is None


def test_key_of_noise_is_uncertain() -> None:
    noise = np.random.default_rng(3).normal(0, 0.1, (2, 20 * SAMPLERATE)).astype(np.float32)
    found = key_of(noise)
    assert found is None or found.best.confidence < 0.5


def test_weights_of_all_keys_add_up_to_one() -> None:
    found = key_of(play("major", tonic=7))
    assert found
    assert found.best.confidence + sum(key.confidence for key in found.alternatives) <= 1 + 1e-9
