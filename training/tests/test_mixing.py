"""Training examples: excerpts, spectra, takes and augmentation."""

import os

import numpy as np
import pytest
import torch
from training.tests.support import FRAMES, SECOND, new_plan, new_run, write_noise_songs

from msaas_training.generate import FULL_SCALE
from msaas_training.mixing import Dataset, Excerpt, draw_batch, stretch_frequencies
from msaas_training.spectra import BINS, HOP, LOW_BINS, WINDOW, cache_low_spectrum, transform
from msaas_training.train import draw_step


@pytest.mark.parametrize("bins", [LOW_BINS, BINS])
def test_excerpts_use_every_take_of_the_vocals(tmp_path, bins):
    folder = write_noise_songs(tmp_path / "train", count=1, tracks=6)
    song = folder / "0000.npy"
    levels = np.array([1, 2, 3, 4, 5, 6], np.int16)
    np.save(song, levels[:, None, None] * (np.load(song) // 8))
    dataset, rng = Dataset.open(folder), np.random.default_rng(6)
    takes = {dataset.draw_excerpt(rng, frames=FRAMES).take for _ in range(40)}
    assert takes == {0, 1, 2}
    loud = [
        [
            float(
                dataset.read_spectrum(Excerpt(0, first=9, take=take), stem=stem, frames=FRAMES, bins=bins)
                .abs()
                .square()
                .mean()
            )
            for stem in range(4)
        ]
        for take in range(3)
    ]
    ratios = np.sqrt(np.array(loud) / loud[0][0])
    np.testing.assert_allclose(ratios, [[1, 2, 3, 4], [1, 2, 3, 5], [1, 2, 3, 6]], rtol=0.05)


@pytest.mark.parametrize("bins", [LOW_BINS, BINS])
def test_batches_differ(tmp_path, bins):
    dataset = Dataset.open(write_noise_songs(tmp_path / "train"))
    one, other = (
        draw_batch(dataset, rng=np.random.default_rng(seed), size=2, frames=FRAMES, bins=bins)
        for seed in (1, 2)
    )
    assert one.shape == (2, 4, 2, bins, FRAMES)
    assert all(similarity(*stems) < 0.1 for stems in zip(one.flatten(0, 1), other.flatten(0, 1), strict=True))


def similarity(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the correlation of two stems, with or without swapped channels; 0 for a muted stem."""
    both = (torch.vdot(one.ravel(), sides.ravel()).abs() for sides in (other, other.flip(0)))
    return max(map(float, both)) / (float(one.norm() * other.norm()) + 1e-9)


def test_every_sixth_batch_has_full_spectra_and_a_quarter_of_the_examples(tmp_path):
    dataset = Dataset.open(write_noise_songs(tmp_path / "train"))
    plan = new_plan(batch=8)
    shapes = [draw_step(step, dataset=dataset, plan=plan).shape for step in range(7)]
    low, whole = (8, 4, 2, LOW_BINS, FRAMES), (2, 4, 2, BINS, FRAMES)
    assert [tuple(shape) for shape in shapes] == [whole, low, low, low, low, low, whole]


def test_half_of_the_examples_keep_their_level(tmp_path):
    dataset = Dataset.open(write_noise_songs(tmp_path / "train"))
    power = torch.from_numpy(np.load(dataset.low[0]).astype(np.float32)).square().sum(-1).mean()
    batch = draw_batch(dataset, rng=np.random.default_rng(5), size=80, frames=FRAMES, bins=LOW_BINS)
    loudness = batch.abs().square().mean((2, 3, 4)) / power
    unchanged = ((loudness - 1).abs() < 0.06).all(1).sum()
    assert 28 <= int(unchanged) <= 52


def test_low_spectrum_is_the_lower_part_of_the_full_spectrum(tmp_path):
    dataset = Dataset.open(write_noise_songs(tmp_path / "train", count=1))
    excerpt = Excerpt(0, first=20, take=0)
    whole = dataset.read_spectrum(excerpt, stem=1, frames=FRAMES, bins=BINS)
    cached = dataset.read_spectrum(excerpt, stem=1, frames=FRAMES, bins=LOW_BINS)
    # The first and last frames of an excerpt lack overlapping neighbours.
    inner = slice(2, -2)
    torch.testing.assert_close(cached[..., inner], whole[:, :LOW_BINS, inner], rtol=0, atol=2e-3)


def test_spectra_equal_those_of_demucs():
    model = new_run().model
    assert (model.nfft, model.hop_length, model.nfft // 2) == (WINDOW, HOP, BINS)
    noise = np.random.default_rng(4).integers(-9000, 9000, (2, SECOND), np.int16)
    reference = model._spec(torch.from_numpy(noise / np.float32(FULL_SCALE)))
    # Frames of demucs start half a hop later. Both pad the ends by reflection.
    ours, inner = transform(noise[:, HOP // 2 :]), slice(4, 36)
    torch.testing.assert_close(ours[..., inner], reference[..., inner], rtol=1e-4, atol=1e-4)


def test_low_spectrum_is_updated_if_its_song_is_newer(tmp_path):
    (song,) = write_noise_songs(tmp_path / "train", count=1).glob("*.npy")
    cached = cache_low_spectrum(song)
    written_ns = cached.stat().st_mtime_ns
    assert cache_low_spectrum(song).stat().st_mtime_ns == written_ns
    os.utime(song, ns=(written_ns + 10**9, written_ns + 10**9))
    assert cache_low_spectrum(song).stat().st_mtime_ns != written_ns


def test_stretch_moves_a_tone():
    tone = torch.zeros(2, LOW_BINS, FRAMES, dtype=torch.complex64)
    tone[:, 100] = 1
    assert int(stretch_frequencies(tone, ratio=1.19).abs().sum((0, 2)).argmax()) == 119
    assert int(stretch_frequencies(tone, ratio=0.84).abs().sum((0, 2)).argmax()) == 84


def test_songs_added_during_training_are_used(tmp_path):
    dataset = Dataset.open(write_noise_songs(tmp_path / "train", count=1))
    np.save(tmp_path / "train" / "added.npy", np.zeros((4, 2, 4 * SECOND), np.int16))
    plan = new_plan()
    draw_step(99, dataset=dataset, plan=plan)
    assert len(dataset.songs) == 1
    draw_step(100, dataset=dataset, plan=plan)
    assert len(dataset.songs) == 2
