"""The rate and the length of stems follow the song and the recipe."""

from pathlib import Path

import numpy as np
import pytest
from worker.tests.songs import noise

from msaas.formats import FORMATS
from msaas.recipe import Recipe
from msaas_worker.audio.decoded import SAMPLERATE, DecodedSong
from msaas_worker.audio.resampling import rescale
from msaas_worker.audio.stem_format import StemFormat, StemResampler


def song_of(source_hz: int, source_samples: int) -> DecodedSong:
    samples = rescale(source_samples, source_hz, SAMPLERATE)
    return DecodedSong(Path(), samples, 0.0, 1.0, source_hz=source_hz, source_samples=source_samples)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("source_hz", [8_000, 44_100, 96_000])
def test_stems_have_44100_hz_by_default_and_opus_48000(name: str, source_hz: int) -> None:
    song = song_of(source_hz, 12_345)
    form = StemFormat.of(Recipe(format=name), song)
    if name == "opus":
        assert (form.rate_hz, form.samples) == (48_000, rescale(song.samples, SAMPLERATE, 48_000))
    else:
        assert (form.rate_hz, form.samples) == (SAMPLERATE, song.samples)


@pytest.mark.parametrize(
    ("name", "source_hz", "rate_hz"),
    [
        *[("wav", source_hz, source_hz) for source_hz in (8_000, 11_127, 44_100, 96_001, 192_000)],
        *[("flac", source_hz, source_hz) for source_hz in (8_000, 11_127, 65_535, 96_000, 192_000)],
        *[("flac", 96_001, 48_000)],
        *[("mp3", 8_000, 44_100), ("mp3", 32_000, 32_000), ("mp3", 48_000, 48_000), ("mp3", 96_000, 48_000)],
        *[("m4a", 22_050, 44_100), ("m4a", 192_000, 48_000)],
        *[("opus", 8_000, 48_000), ("opus", 44_100, 48_000), ("opus", 96_000, 48_000)],
    ],
)
def test_rate_of_the_song_is_kept_where_the_format_has_it(name: str, source_hz: int, rate_hz: int) -> None:
    song = song_of(source_hz, 54_321)
    form = StemFormat.of(Recipe(format=name, sample_rate="source"), song)
    assert form.rate_hz == rate_hz
    if rate_hz == source_hz:
        assert form.samples == 54_321
    assert form.samples / rate_hz == pytest.approx(54_321 / source_hz, abs=1 / 8_000)


def test_song_whose_parts_have_several_rates_has_the_length_of_its_samples() -> None:
    song = DecodedSong(Path(), 3 * SAMPLERATE, 0.0, 1.0, source_hz=48_000, source_samples=4 * 48_000)
    form = StemFormat.of(Recipe(format="wav", sample_rate="source"), song)
    assert (form.rate_hz, form.samples) == (48_000, 3 * 48_000)


def test_exact_sums_are_not_scaled() -> None:
    form = StemFormat.of(Recipe(format="flac", exact_sum=True), song_of(SAMPLERATE, 1000))
    assert form.clip == "clamp"


@pytest.mark.parametrize("source_hz", [8_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("source_samples", [3, 1000, 30_011])
def test_resampled_stem_has_exactly_the_length_of_the_song(source_hz: int, source_samples: int) -> None:
    song = song_of(source_hz, source_samples)
    form = StemFormat.of(Recipe(format="wav", sample_rate="source"), song)
    resampler, stem = StemResampler(form), noise(song.samples)
    blocks = [resampler.feed(stem[:, start : start + 7_000]) for start in range(0, song.samples, 7_000)]
    assert np.concatenate([*blocks, resampler.flush()], axis=1).shape == (2, source_samples)
