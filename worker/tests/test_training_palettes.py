"""What the training of `starter` heard is kept apart from what it is tested on."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
pytest.importorskip("scipy")

from msaas_training.composition import compose
from msaas_training.palettes import PALETTES, UNHEARD, Palette, recast_of

TRAINED_ON = sorted({*PALETTES} - {*UNHEARD, *map(recast_of, UNHEARD), "choose"})


def fonts(palette: Palette) -> set[str]:
    return {*palette.fonts, *palette.drum_fonts}


@pytest.mark.parametrize("trained_on", TRAINED_ON)
@pytest.mark.parametrize("test_set", UNHEARD)
def test_no_soundfont_of_a_test_set_was_trained_on(test_set, trained_on):
    assert not fonts(PALETTES[test_set]) & fonts(PALETTES[trained_on])


@pytest.mark.parametrize("trained_on", TRAINED_ON)
@pytest.mark.parametrize("test_set", [*UNHEARD, "choose"])
def test_no_voice_of_a_test_set_was_trained_on(test_set, trained_on):
    assert not set(PALETTES[test_set].heard) & set(PALETTES[trained_on].heard)


@pytest.mark.parametrize("test_set", [*UNHEARD, "choose"])
def test_the_songs_that_are_measured_are_played_as_they_were(test_set):
    assert not PALETTES[test_set].varied


@pytest.mark.parametrize("test_set", [*UNHEARD, *map(recast_of, UNHEARD), "choose"])
def test_nobody_whose_voice_is_measured_is_disguised(test_set):
    assert not any(cast.disguised for cast in PALETTES[test_set].casts)


@pytest.mark.parametrize("disguised", ["cast", "imagined", "shells"])
def test_every_language_and_variant_of_espeak_sings_in_disguise(disguised):
    for cast in PALETTES[disguised].casts:
        names = [voice.name.partition("+") for voice in cast.voices if voice.engine == "espeak"]
        assert len({language for language, _, _ in names}) == 32
        assert len({variant for _, _, variant in names}) == 20


def test_checkpoints_are_chosen_by_voices_the_test_does_not_use():
    assert not set(PALETTES["choose"].heard) & {v for name in UNHEARD for v in PALETTES[name].heard}


def test_the_engine_of_the_far_voices_was_never_trained_on():
    heard = {voice.engine for name in TRAINED_ON for voice in PALETTES[name].heard}
    assert {voice.engine for voice in PALETTES["far"].heard}.isdisjoint(heard)


def test_a_seed_always_gives_the_same_song_and_another_seed_another():
    one, again, other = (compose(np.random.default_rng(seed), duration_s=10.0) for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_every_part_of_a_song_plays_and_nothing_starts_before_it():
    for seed in range(30):
        score = compose(np.random.default_rng(seed), duration_s=24.0)
        parts = [score.drums, score.bass, score.melody, *score.others]
        assert all(part.notes and part.notes[0].start_s >= 0 for part in parts)
        assert all(note.length_s > 0 and 0 < note.pitch < 128 for part in parts for note in part.notes)
