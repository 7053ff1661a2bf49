"""Complements, and sums that are exact to the last bit."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from worker.tests.songs import decoded, noise

from msaas.recipe import Recipe
from msaas_worker.audio.decoded import Audio
from msaas_worker.audio.mixing import Mixdown, make_exact
from msaas_worker.audio.quantisation import dequantise, quantise

#: Samples around full scale and far beyond it: decoded songs may exceed it.
SAMPLES = st.one_of(
    st.sampled_from([0.0, 1.0, -1.0, 0.99999994, 1.5, -1.5, 900.0, -900.0]),
    st.floats(-3, 3, width=32),
)
BITS = st.sampled_from([16, 24])


@st.composite
def songs_with_stems(draw: st.DrawFn) -> tuple[Audio, Audio]:
    stems, samples = draw(st.integers(1, 6)), draw(st.integers(1, 8))
    song = draw(arrays(np.float32, (2, samples), elements=SAMPLES))
    return song, draw(arrays(np.float32, (stems, 2, samples), elements=SAMPLES))


@given(songs_with_stems(), BITS)
def test_stems_add_up_to_the_song_and_are_within_full_scale(parts: tuple[Audio, Audio], bits: int) -> None:
    song, stems = parts
    exact = make_exact(stems, song, bits=bits)
    assert exact.dtype == np.float32
    integers = exact.astype(np.float64) * (1 << (bits - 1))
    np.testing.assert_array_equal(integers, np.rint(integers))
    np.testing.assert_array_equal(integers.sum(axis=0), quantise(song, bits))
    assert -(1 << (bits - 1)) <= integers.min() <= integers.max() < 1 << (bits - 1)


@given(songs_with_stems(), BITS)
def test_stems_before_the_last_keep_their_samples_unless_it_would_clip(
    parts: tuple[Audio, Audio], bits: int
) -> None:
    song, stems = parts
    stems, song = stems / 10_000, song / 10_000
    integers = quantise(make_exact(stems, song, bits=bits), bits)
    np.testing.assert_array_equal(integers[:-1], quantise(stems[:-1], bits))


@given(arrays(np.int64, (2, 9), elements=st.integers(-(1 << 23), (1 << 23) - 1)))
def test_integers_of_24_bits_survive_as_floats(integers: np.typing.NDArray[np.int64]) -> None:
    np.testing.assert_array_equal(quantise(dequantise(integers, 24), 24), integers)


@given(arrays(np.float32, (2, 9), elements=SAMPLES), BITS)
def test_quantised_sample_is_the_nearest_in_range(samples: Audio, bits: int) -> None:
    scale = 1 << (bits - 1)
    in_range = np.clip(samples.astype(np.float64) * scale, -scale, scale - 1)
    assert np.abs(quantise(samples, bits) - in_range).max() <= 0.5


# The stage


def regions_of(stems: Audio, size: int = 4_001) -> Iterator[Audio]:
    return (stems[..., start : start + size] for start in range(0, stems.shape[-1], size))


def mixed(stems: Audio, song: Audio, recipe: Recipe, folder: Path) -> Audio:
    mixdown = Mixdown.of(recipe, model="starter")
    return np.concatenate(list(mixdown.mix(regions_of(stems), decoded(song, folder / "song.f32"))), axis=-1)


def test_stems_pass_unchanged_without_options(tmp_path: Path) -> None:
    stems = np.stack([noise(10_000, seed=seed) for seed in range(4)])
    np.testing.assert_array_equal(mixed(stems, noise(10_000), Recipe(), tmp_path), stems)


def test_complement_is_the_song_without_the_stem(tmp_path: Path) -> None:
    song, stem = noise(10_000), noise(10_000, seed=1)
    result = mixed(stem[None], song, Recipe(two_stems="vocals"), tmp_path)
    np.testing.assert_array_equal(result, np.stack([stem, song - stem]))


@pytest.mark.parametrize(
    "recipe", [Recipe(exact_sum=True, format="wav", bits="16"), Recipe(exact_sum=True, format="flac")]
)
@pytest.mark.parametrize("gain", [0.2, 2.0])
def test_regions_add_up_to_the_song(recipe: Recipe, gain: float, tmp_path: Path) -> None:
    song = noise(10_000, gain=gain)
    stems = np.stack([noise(10_000, seed=seed) for seed in range(1, 5)])
    bits = int(recipe.format_bits)
    result = quantise(mixed(stems, song, recipe, tmp_path), bits)
    np.testing.assert_array_equal(result.sum(axis=0), quantise(song, bits))


def test_stem_and_exact_complement_add_up_to_the_song(tmp_path: Path) -> None:
    song, stem = noise(10_000, gain=2.0), noise(10_000, seed=1)
    recipe = Recipe(two_stems="drums", exact_sum=True, format="flac")
    result = quantise(mixed(stem[None], song, recipe, tmp_path), 24)
    assert len(result) == 2
    np.testing.assert_array_equal(result.sum(axis=0), quantise(song, 24))
