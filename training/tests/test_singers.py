"""Singers: voice conversion, synthesis methods and pitch correction."""

from dataclasses import replace

import numpy as np
import pytest

from msaas_training import vocals
from msaas_training.notes import SAMPLE_RATE_HZ, Note
from msaas_training.speech import Voice
from msaas_training.vocals import FORMANT_VOICE, Singer, SingerPool, draw_backing_singers, render_track
from msaas_training.voice_transform import VoiceTransform

ENGINES = (Voice("flite", "rms"), Voice("espeak", "de+f2"), FORMANT_VOICE)
PLAIN, CONVERTED, TUNED = (
    SingerPool(ENGINES),
    SingerPool(ENGINES, converted=True),
    SingerPool(ENGINES, converted=True, tuned=True),
)
PHRASE = [Note(0.0, 0.6, 57, 90), Note(0.6, 0.6, 60, 90)]


@pytest.fixture(autouse=True)
def buzz_speech(monkeypatch):
    """Replace speech by a square wave with a pitch for each voice, because engines may be missing."""

    def speak(text, *, voice, rng):
        time = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
        hertz = {"rms": 110, "de+f2": 190}[voice.name]
        return (0.1 * np.sign(np.sin(2 * np.pi * hertz * time))).astype(np.float32)

    monkeypatch.setattr(vocals, "speak", speak)


def draw_singers(pool: SingerPool, *, count: int = 200) -> list[Singer]:
    rng = np.random.default_rng(1)
    return [Singer.draw(rng, pool=pool) for _ in range(count)]


def render(singer: Singer) -> np.ndarray:
    return render_track(PHRASE, singer=singer, rng=np.random.default_rng(2), duration_s=1.5)[0]


def test_only_converted_pools_have_voice_conversion():
    assert not any(singer.conversion for singer in draw_singers(PLAIN))
    assert all(singer.conversion for singer in draw_singers(CONVERTED))


def test_partner_is_another_recorded_voice():
    partners = [
        (s.voice, s.conversion.partner)
        for s in draw_singers(CONVERTED)
        if s.conversion and s.conversion.partner
    ]
    assert partners
    assert all(partner not in (voice, FORMANT_VOICE) for voice, partner in partners)


SINGERS = {(singer.voice, singer.method): singer for singer in draw_singers(CONVERTED)}


def test_all_combinations_of_voice_and_method_occur():
    assert len(SINGERS) == 7


@pytest.mark.parametrize("singer", SINGERS.values(), ids=[f"{v.name}-{method}" for v, method in SINGERS])
def test_conversion_changes_the_sound(singer):
    assert difference(singer, replace(singer, conversion=None, formant_ratio=1.0)) > 0.05


@pytest.mark.parametrize("singer", SINGERS.values(), ids=[f"{v.name}-{method}" for v, method in SINGERS])
def test_another_transform_changes_the_sound(singer):
    other = VoiceTransform.draw(np.random.default_rng(4))
    assert difference(singer, replace(singer, conversion=replace(singer.conversion, transform=other))) > 0.05


def difference(one: Singer, other: Singer) -> float:
    """Return the difference of two singers of one phrase, relative to the second."""
    first, second = render(one), render(other)
    assert first.std() == pytest.approx(second.std(), rel=0.5)
    return float((first - second).std() / second.std())


def test_tuned_singers_and_their_backing_are_in_tune():
    rng = np.random.default_rng(3)
    for lead in draw_singers(TUNED):
        backing = [singer for singer, *_ in draw_backing_singers(rng, lead=lead, pool=TUNED)]
        for singer in (lead, *backing):
            assert singer.method != "spoken"
            assert singer.source.detune_semitones == singer.source.jitter == 0


def test_untuned_doubles_are_detuned():
    rng = np.random.default_rng(3)
    backing = [
        s for lead in draw_singers(PLAIN) for s, *_ in draw_backing_singers(rng, lead=lead, pool=PLAIN)
    ]
    assert backing
    assert np.std([singer.source.detune_semitones for singer in backing]) > 0.05
