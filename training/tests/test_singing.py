"""Synthetic singing: pitch, phrases, voice transforms and vocal envelopes."""

from dataclasses import replace

import numpy as np
import pytest

from msaas_training import formants
from msaas_training.notes import SAMPLE_RATE_HZ, Note
from msaas_training.singing import VoiceSource, melody_hz, sing_phrase, split_phrases
from msaas_training.vocal_envelope import BINS, FFT, VocalEnvelope
from msaas_training.voice_transform import VoiceTransform

#: A singer with a measurable pitch: no vibrato, no growl, little breath.
PURE = VoiceSource(
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
    """Return the strongest periodicity between 80 and 600 Hz."""
    correlation = np.fft.irfft(np.abs(np.fft.rfft(wave, 2 * wave.size)) ** 2)
    low, high = SAMPLE_RATE_HZ // 600, SAMPLE_RATE_HZ // 80
    return SAMPLE_RATE_HZ / (low + int(correlation[low:high].argmax()))


@pytest.mark.parametrize("pitch", [48, 57, 64])
def test_note_has_its_pitch(pitch):
    rng = np.random.default_rng(5)
    note = Note(0.0, 1.5, pitch, 90)
    wave = sing_phrase([note], envelope=formants.draw_envelope(rng, syllables=1), source=PURE, rng=rng)
    middle = wave[wave.size // 3 : 2 * wave.size // 3]
    assert pitch_hz(middle) == pytest.approx(note.frequency_hz, rel=A_SEMITONE)


def test_different_sources_make_different_voices():
    note = [Note(0.0, 1.0, 57, 90)]
    envelope = formants.draw_envelope(np.random.default_rng(5), syllables=2)
    one, other = (
        sing_phrase(
            note,
            envelope=envelope,
            source=VoiceSource.draw(np.random.default_rng(s)),
            rng=np.random.default_rng(s),
        )
        for s in (1, 2)
    )
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.5


@pytest.mark.parametrize("seed", range(5))
def test_tuned_singer_has_the_pitch_of_the_melody(seed):
    rng = np.random.default_rng(seed)
    source = replace(VoiceSource.draw_tuned(rng), vibrato_semitones=0.0)
    note = Note(0.0, 1.0, 57, 90)
    hertz = melody_hz([note], samples=SAMPLE_RATE_HZ, source=source, rng=rng)
    np.testing.assert_allclose(hertz, note.frequency_hz, rtol=1e-6)
    assert (source.jitter, source.growl) == (0.0, 0.0)


@pytest.mark.parametrize("seed", range(5))
def test_untuned_singer_deviates_from_the_pitch(seed):
    rng = np.random.default_rng(seed)
    source, note = replace(VoiceSource.draw(rng), vibrato_semitones=0.0), Note(0.0, 1.0, 57, 90)
    hertz = melody_hz([note], samples=SAMPLE_RATE_HZ, source=source, rng=rng)
    assert np.ptp(hertz) > 0.05
    assert np.abs(hertz / note.frequency_hz - 1).mean() > 1e-4


def test_rests_separate_phrases():
    notes = [Note(0.0, 0.5, 60, 90), Note(0.5, 0.5, 62, 90), Note(2.0, 0.5, 64, 90)]
    assert [len(phrase) for phrase in split_phrases(notes)] == [2, 1]


def resonance(centre_hz: float) -> VocalEnvelope:
    frequencies = np.arange(BINS) * SAMPLE_RATE_HZ / FFT
    peak = -((np.log2((frequencies + 1) / centre_hz) * 4) ** 2)
    return VocalEnvelope(np.repeat(peak[None], 8, 0).astype(np.float32), np.ones(8, np.float32))


def peak_hz(envelope: VocalEnvelope) -> float:
    return float(envelope.log_magnitude.mean(0).argmax() * SAMPLE_RATE_HZ / FFT)


@pytest.mark.parametrize("ratio", [0.8, 1.3])
def test_transform_scales_formants(ratio):
    transform = VoiceTransform(ratio, warp_octaves=np.zeros(8), eq_db=np.zeros(8))
    assert peak_hz(transform.apply_to_envelope(resonance(1500))) == pytest.approx(1500 * ratio, rel=0.04)


def test_transform_of_speech_raises_pitch_and_speed():
    time = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    tone = np.sin(2 * np.pi * 200 * time).astype(np.float32)
    speech = VoiceTransform(1.25, warp_octaves=np.zeros(8), eq_db=np.zeros(8)).apply_to_speech(tone)
    assert speech.size == pytest.approx(tone.size / 1.25, rel=0.001)
    assert pitch_hz(speech) == pytest.approx(250, rel=0.01)


def test_six_decibels_of_equalisation_double_the_amplitude():
    transform = VoiceTransform(1.0, warp_octaves=np.zeros(8), eq_db=np.full(8, 20 * np.log10(2)))
    envelope = resonance(900)
    np.testing.assert_allclose(
        transform.apply_to_envelope(envelope).log_magnitude - envelope.log_magnitude, np.log(2), atol=1e-4
    )
    tone = np.sin(np.arange(4096) / 9).astype(np.float32)
    np.testing.assert_allclose(transform.apply_to_speech(tone), 2 * tone[:-1], atol=1e-3)


def test_random_transforms_differ():
    one, other = (
        VoiceTransform.draw(np.random.default_rng(seed)).apply_to_envelope(resonance(900)) for seed in (1, 2)
    )
    assert np.abs(one.log_magnitude - other.log_magnitude).mean() > 0.1


def test_phrases_of_one_tract_are_more_similar_than_phrases_of_two():
    def mean_vowel(seed: int, *, phrase: int) -> np.ndarray:
        tract = formants.VocalTract.draw_extended(np.random.default_rng(seed))
        spoken = formants.draw_phrase(np.random.default_rng(phrase), syllables=12, tract=tract)
        return spoken.log_magnitude[spoken.voicing > 0.9].mean(0)

    same = [np.abs(mean_vowel(seed, phrase=1) - mean_vowel(seed, phrase=2)).mean() for seed in range(6)]
    others = [np.abs(mean_vowel(seed, phrase=1) - mean_vowel(seed + 1, phrase=1)).mean() for seed in range(6)]
    assert np.median(same) < 0.5 * np.median(others)


@pytest.mark.parametrize(("share", "expected_hz"), [(0.0, 600), (0.5, 1200), (1.0, 2400)])
def test_interpolated_envelope_is_between_both(share, expected_hz):
    longer = resonance(2400).read_at(np.linspace(0, 7, 20))
    mixed = resonance(600).interpolate(longer, share=share)
    assert mixed.frames == resonance(600).frames
    assert peak_hz(mixed) == pytest.approx(expected_hz, rel=0.04)
