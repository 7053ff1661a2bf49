"""Who sings in the training songs: as an engine has them, in disguise, tuned."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
pytest.importorskip("scipy")

from msaas_training import vocals
from msaas_training.bodies import Body
from msaas_training.notes import SAMPLE_RATE_HZ, Note
from msaas_training.speech import Voice
from msaas_training.vocals import GLOTTAL, Cast, Singer, company, performed

ENGINES = (Voice("flite", "rms"), Voice("espeak", "de+f2"), GLOTTAL)
PLAIN, DISGUISED, TUNED = (
    Cast(ENGINES),
    Cast(ENGINES, disguised=True),
    Cast(ENGINES, disguised=True, tuned=True),
)
PHRASE = [Note(0.0, 0.6, 57, 90), Note(0.6, 0.6, 60, 90)]


@pytest.fixture(autouse=True)
def buzzing_speech(monkeypatch):
    """A buzz, another for each voice, stands for what an engine says; engines are not everywhere at hand."""

    def speak(text, *, voice, rng):
        time = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
        hertz = {"rms": 110, "de+f2": 190}[voice.name]
        return (0.1 * np.sign(np.sin(2 * np.pi * hertz * time))).astype(np.float32)

    monkeypatch.setattr(vocals, "speak", speak)


def singers(cast: Cast, *, count: int = 200) -> list[Singer]:
    rng = np.random.default_rng(1)
    return [Singer.drawn(rng, cast=cast) for _ in range(count)]


def sings(singer: Singer) -> np.ndarray:
    return performed(PHRASE, singer=singer, rng=np.random.default_rng(2), duration_s=1.5)[0]


def test_nobody_wears_a_guise_who_was_not_told_to():
    assert not any(singer.guise for singer in singers(PLAIN))
    assert all(singer.guise for singer in singers(DISGUISED))


def test_nobody_borrows_their_own_voice_or_one_that_does_not_speak():
    borrowed = [(s.voice, s.guise.partner) for s in singers(DISGUISED) if s.guise and s.guise.partner]
    assert borrowed
    assert all(partner not in (voice, GLOTTAL) for voice, partner in borrowed)


HEARD = {(singer.voice, singer.method): singer for singer in singers(DISGUISED)}


def test_every_voice_sings_in_every_way_it_can():
    assert len(HEARD) == 7


@pytest.mark.parametrize("singer", HEARD.values(), ids=[f"{v.name}-{method}" for v, method in HEARD])
def test_a_guise_changes_what_is_heard(singer):
    assert changed(singer, replace(singer, guise=None, formant_ratio=1.0)) > 0.05


@pytest.mark.parametrize("singer", HEARD.values(), ids=[f"{v.name}-{method}" for v, method in HEARD])
def test_another_body_is_another_singer(singer):
    other = Body.drawn(np.random.default_rng(4))
    assert changed(singer, replace(singer, guise=replace(singer.guise, body=other))) > 0.05


def changed(one: Singer, other: Singer) -> float:
    """How much two singers of one phrase differ, as a share of the second."""
    ours, theirs = sings(one), sings(other)
    assert ours.std() == pytest.approx(theirs.std(), rel=0.5)
    return float((ours - theirs).std() / theirs.std())


def test_who_is_tuned_sings_and_nobody_beside_them_is_off_the_note():
    rng = np.random.default_rng(3)
    for lead in singers(TUNED):
        beside = [singer for singer, *_ in company(rng, lead=lead, cast=TUNED)]
        for singer in (lead, *beside):
            assert singer.method != "spoken"
            assert singer.throat.detune_semitones == singer.throat.jitter == 0


def test_doubles_of_who_is_not_tuned_are_a_little_off():
    rng = np.random.default_rng(3)
    beside = [s for lead in singers(PLAIN) for s, *_ in company(rng, lead=lead, cast=PLAIN)]
    assert beside
    assert np.std([singer.throat.detune_semitones for singer in beside]) > 0.05
