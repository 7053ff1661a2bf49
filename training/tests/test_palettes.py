"""Palettes: training, validation and test sets share no soundfont and no voice."""

import numpy as np
import pytest

from msaas_training.composition import compose
from msaas_training.palettes import HELD_OUT, PALETTES, Palette, recast_name

TRAINED_ON = sorted({*PALETTES} - {*HELD_OUT, *map(recast_name, HELD_OUT), "choose"})


def fonts(palette: Palette) -> set[str]:
    return {*palette.fonts, *palette.drum_fonts}


@pytest.mark.parametrize("trained_on", TRAINED_ON)
@pytest.mark.parametrize("test_set", HELD_OUT)
def test_test_sets_share_no_soundfont_with_training_sets(test_set, trained_on):
    assert not fonts(PALETTES[test_set]) & fonts(PALETTES[trained_on])


@pytest.mark.parametrize("trained_on", TRAINED_ON)
@pytest.mark.parametrize("test_set", [*HELD_OUT, "choose"])
def test_test_sets_share_no_voice_with_training_sets(test_set, trained_on):
    assert not set(PALETTES[test_set].voices) & set(PALETTES[trained_on].voices)


@pytest.mark.parametrize("test_set", [*HELD_OUT, "choose"])
def test_test_songs_have_no_instrument_variations(test_set):
    assert not PALETTES[test_set].varied


@pytest.mark.parametrize("test_set", [*HELD_OUT, *map(recast_name, HELD_OUT), "choose"])
def test_test_songs_have_no_voice_conversion(test_set):
    assert not any(pool.converted for pool in PALETTES[test_set].pools)


@pytest.mark.parametrize("set_name", ["cast", "imagined", "shells"])
def test_converted_pools_have_every_espeak_language_and_variant(set_name):
    for pool in PALETTES[set_name].pools:
        names = [voice.name.partition("+") for voice in pool.voices if voice.engine == "espeak"]
        assert len({language for language, _, _ in names}) == 32
        assert len({variant for _, _, variant in names}) == 20


def test_validation_songs_share_no_voice_with_test_songs():
    assert not set(PALETTES["choose"].voices) & {v for name in HELD_OUT for v in PALETTES[name].voices}


def test_far_voices_have_an_unseen_engine():
    trained = {voice.engine for name in TRAINED_ON for voice in PALETTES[name].voices}
    assert {voice.engine for voice in PALETTES["far"].voices}.isdisjoint(trained)


def test_scores_depend_on_the_seed_only():
    first, repeated, other = (compose(np.random.default_rng(seed), duration_s=10.0) for seed in (1, 1, 2))
    assert first == repeated
    assert first != other


def test_every_part_has_valid_notes():
    for seed in range(30):
        score = compose(np.random.default_rng(seed), duration_s=24.0)
        parts = [score.drums, score.bass, score.melody, *score.others]
        assert all(part.notes and part.notes[0].start_s >= 0 for part in parts)
        assert all(note.length_s > 0 and 0 < note.pitch < 128 for part in parts for note in part.notes)
