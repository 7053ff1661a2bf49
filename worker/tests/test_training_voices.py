"""The voices of the training songs sing the melody they are given, and never the same way twice."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
pytest.importorskip("scipy")

from msaas_training import formants
from msaas_training.bodies import Body
from msaas_training.notes import SAMPLE_RATE_HZ, Note
from msaas_training.singing import Throat, melody_hz, phrases, sung
from msaas_training.voiceprint import BINS, FFT, Voiceprint

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


@pytest.mark.parametrize("seed", range(5))
def test_a_tuned_singer_has_no_pitch_but_the_melodys(seed):
    rng = np.random.default_rng(seed)
    throat = replace(Throat.tuned(rng), vibrato_semitones=0.0)
    note = Note(0.0, 1.0, 57, 90)
    hertz = melody_hz([note], samples=SAMPLE_RATE_HZ, throat=throat, rng=rng)
    np.testing.assert_allclose(hertz, note.frequency_hz, rtol=1e-6)
    assert (throat.jitter, throat.growl) == (0.0, 0.0)


@pytest.mark.parametrize("seed", range(5))
def test_a_singer_who_is_not_tuned_is_hardly_ever_on_the_note(seed):
    rng = np.random.default_rng(seed)
    throat, note = replace(Throat.drawn(rng), vibrato_semitones=0.0), Note(0.0, 1.0, 57, 90)
    hertz = melody_hz([note], samples=SAMPLE_RATE_HZ, throat=throat, rng=rng)
    assert np.ptp(hertz) > 0.05
    assert np.abs(hertz / note.frequency_hz - 1).mean() > 1e-4


def test_a_singer_breathes_where_the_melody_rests():
    notes = [Note(0.0, 0.5, 60, 90), Note(0.5, 0.5, 62, 90), Note(2.0, 0.5, 64, 90)]
    assert [len(phrase) for phrase in phrases(notes)] == [2, 1]


def resonance(at_hz: float) -> Voiceprint:
    frequencies = np.arange(BINS) * SAMPLE_RATE_HZ / FFT
    peak = -((np.log2((frequencies + 1) / at_hz) * 4) ** 2)
    return Voiceprint(np.repeat(peak[None], 8, 0).astype(np.float32), np.ones(8, np.float32))


def peak_hz(mouth: Voiceprint) -> float:
    return float(mouth.envelope.mean(0).argmax() * SAMPLE_RATE_HZ / FFT)


@pytest.mark.parametrize("size", [0.8, 1.3])
def test_a_body_moves_formants_by_its_size(size):
    body = Body(size, bend=np.zeros(8), colour=np.zeros(8))
    assert peak_hz(body.around(resonance(1500))) == pytest.approx(1500 * size, rel=0.04)


def test_a_body_of_that_size_speaks_higher_and_faster():
    time = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    tone = np.sin(2 * np.pi * 200 * time).astype(np.float32)
    heard = Body(1.25, bend=np.zeros(8), colour=np.zeros(8)).of(tone)
    assert heard.size == pytest.approx(tone.size / 1.25, rel=0.001)
    assert pitch_hz(heard) == pytest.approx(250, rel=0.01)


def test_a_colour_of_six_decibels_doubles_what_sounds():
    body = Body(1.0, bend=np.zeros(8), colour=np.full(8, 20 * np.log10(2)))
    mouth = resonance(900)
    np.testing.assert_allclose(body.around(mouth).envelope - mouth.envelope, np.log(2), atol=1e-4)
    tone = np.sin(np.arange(4096) / 9).astype(np.float32)
    np.testing.assert_allclose(body.of(tone), 2 * tone[:-1], atol=1e-3)


def test_no_two_bodies_are_alike():
    one, other = (Body.drawn(np.random.default_rng(seed)).around(resonance(900)) for seed in (1, 2))
    assert np.abs(one.envelope - other.envelope).mean() > 0.1


def test_one_mouth_says_two_phrases_more_alike_than_two_mouths_say_one():
    def colour(seed: int, *, phrase: int) -> np.ndarray:
        mouth = formants.Mouth.imagined(np.random.default_rng(seed))
        said = formants.imagined(np.random.default_rng(phrase), syllables=12, mouth=mouth)
        return said.envelope[said.voiced > 0.9].mean(0)

    same = [np.abs(colour(seed, phrase=1) - colour(seed, phrase=2)).mean() for seed in range(6)]
    others = [np.abs(colour(seed, phrase=1) - colour(seed + 1, phrase=1)).mean() for seed in range(6)]
    assert np.median(same) < 0.5 * np.median(others)


@pytest.mark.parametrize(("share", "between_hz"), [(0.0, 600), (0.5, 1200), (1.0, 2400)])
def test_a_mixed_mouth_lies_between_the_two(share, between_hz):
    longer = resonance(2400).at(np.linspace(0, 7, 20))
    mixed = resonance(600).mixed(longer, share=share)
    assert mixed.frames == resonance(600).frames
    assert peak_hz(mixed) == pytest.approx(between_hz, rel=0.04)
