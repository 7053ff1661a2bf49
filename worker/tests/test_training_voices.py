"""The voices of the training songs sing the melody they are given, and never the same way twice."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
pytest.importorskip("scipy")

from msaas_training import formants
from msaas_training.notes import SAMPLE_RATE_HZ, Note
from msaas_training.singing import Throat, phrases, sung

#: A singer whose pitch can be measured: no vibrato, no growl, hardly any breath.
PURE = Throat(
    vibrato_hz=5.0,
    vibrato_semitones=0.0,
    glide_s=0.01,
    jitter=0.0,
    shimmer=0.0,
    breath=0.02,
    growl=0.0,
    detune_semitones=0.0,
)
A_SEMITONE = 2 ** (1 / 12) - 1


def pitch_hz(wave: np.ndarray) -> float:
    """The strongest repetition between 80 and 600 Hz."""
    correlation = np.fft.irfft(np.abs(np.fft.rfft(wave, 2 * wave.size)) ** 2)
    low, high = SAMPLE_RATE_HZ // 600, SAMPLE_RATE_HZ // 80
    return SAMPLE_RATE_HZ / (low + int(correlation[low:high].argmax()))


@pytest.mark.parametrize("pitch", [48, 57, 64])
def test_a_note_sounds_at_its_pitch(pitch):
    rng = np.random.default_rng(5)
    note = Note(0.0, 1.5, pitch, 90)
    wave = sung([note], voiceprint=formants.drawn(rng, syllables=1), throat=PURE, rng=rng)
    middle = wave[wave.size // 3 : 2 * wave.size // 3]
    assert pitch_hz(middle) == pytest.approx(note.frequency_hz, rel=A_SEMITONE)


def test_two_throats_make_two_voices_of_one_mouth():
    note = [Note(0.0, 1.0, 57, 90)]
    mouth = formants.drawn(np.random.default_rng(5), syllables=2)
    one, other = (
        sung(
            note,
            voiceprint=mouth,
            throat=Throat.drawn(np.random.default_rng(s)),
            rng=np.random.default_rng(s),
        )
        for s in (1, 2)
    )
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.5


def test_a_singer_breathes_where_the_melody_rests():
    notes = [Note(0.0, 0.5, 60, 90), Note(0.5, 0.5, 62, 90), Note(2.0, 0.5, 64, 90)]
    assert [len(phrase) for phrase in phrases(notes)] == [2, 1]
