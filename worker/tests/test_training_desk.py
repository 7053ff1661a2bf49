"""Examples are drawn from songs on disk, each with its low spectrum."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
pytest.importorskip("scipy")
pytest.importorskip("mido", reason="training needs worker/training/requirements.txt")
pytest.importorskip(
    "fluidsynth", reason="training needs worker/training/requirements.txt", exc_type=ImportError
)

from msaas_training.desk import Excerpt, Library, draw_batch, stretched
from msaas_training.generate import FULL_SCALE
from msaas_training.spectra import BINS, HOP, LOW_BINS, WINDOW, keep_low, transformed
from msaas_training.train import Plan, batch_of
from worker.tests.training_noise import FRAMES, SECOND, begun_run, songs_of_noise


@pytest.mark.parametrize("bins", [LOW_BINS, BINS])
def test_every_take_of_the_vocals_is_heard_and_only_of_the_vocals(tmp_path, bins):
    folder = songs_of_noise(tmp_path / "train", count=1, tracks=6)
    song = folder / "0000.npy"
    levels = np.array([1, 2, 3, 4, 5, 6], np.int16)
    np.save(song, levels[:, None, None] * (np.load(song) // 8))
    library, rng = Library.at(folder), np.random.default_rng(6)
    takes = {library.pick(rng, frames=FRAMES).take for _ in range(40)}
    assert takes == {0, 1, 2}
    loud = [
        [
            float(
                library.spectrum(Excerpt(0, first=9, take=take), stem=stem, frames=FRAMES, bins=bins)
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
def test_two_batches_of_one_library_are_never_alike(tmp_path, bins):
    library = Library.at(songs_of_noise(tmp_path / "train"))
    one, other = (
        draw_batch(library, rng=np.random.default_rng(seed), size=2, frames=FRAMES, bins=bins)
        for seed in (1, 2)
    )
    assert one.shape == (2, 4, 2, bins, FRAMES)
    assert all(alike(*stems) < 0.1 for stems in zip(one.flatten(0, 1), other.flatten(0, 1), strict=True))


def alike(one: torch.Tensor, other: torch.Tensor) -> float:
    """The correlation of two stems, sides exchanged or not; a muted one is like no other."""
    both = (torch.vdot(one.ravel(), sides.ravel()).abs() for sides in (other, other.flip(0)))
    return max(map(float, both)) / (float(one.norm() * other.norm()) + 1e-9)


def test_a_sixth_of_the_batches_are_whole_spectra_and_a_quarter_as_many(tmp_path):
    library = Library.at(songs_of_noise(tmp_path / "train"))
    plan = Plan(minutes=1, batch=8, frames=FRAMES, device="cpu", save_every_steps=1)
    shapes = [batch_of(step, library=library, plan=plan).shape for step in range(7)]
    low, whole = (8, 4, 2, LOW_BINS, FRAMES), (2, 4, 2, BINS, FRAMES)
    assert [tuple(shape) for shape in shapes] == [whole, low, low, low, low, low, whole]


def test_half_of_the_examples_are_as_loud_as_their_songs(tmp_path):
    library = Library.at(songs_of_noise(tmp_path / "train"))
    power = torch.from_numpy(np.load(library.low[0]).astype(np.float32)).square().sum(-1).mean()
    batch = draw_batch(library, rng=np.random.default_rng(5), size=80, frames=FRAMES, bins=LOW_BINS)
    loudness = batch.abs().square().mean((2, 3, 4)) / power
    unaltered = ((loudness - 1).abs() < 0.06).all(1).sum()
    assert 28 <= int(unaltered) <= 52


def test_a_low_spectrum_is_the_lower_part_of_the_whole_one(tmp_path):
    library = Library.at(songs_of_noise(tmp_path / "train", count=1))
    excerpt = Excerpt(0, first=20, take=0)
    whole = library.spectrum(excerpt, stem=1, frames=FRAMES, bins=BINS)
    kept = library.spectrum(excerpt, stem=1, frames=FRAMES, bins=LOW_BINS)
    # At its ends an excerpt of a wave has no neighbours to overlap with.
    inner = slice(2, -2)
    torch.testing.assert_close(kept[..., inner], whole[:, :LOW_BINS, inner], rtol=0, atol=2e-3)


def test_spectra_are_those_of_demucs():
    model = begun_run().model
    assert (model.nfft, model.hop_length, model.nfft // 2) == (WINDOW, HOP, BINS)
    noise = np.random.default_rng(4).integers(-9000, 9000, (2, SECOND), np.int16)
    theirs = model._spec(torch.from_numpy(noise / np.float32(FULL_SCALE)))
    # Theirs begin half a hop later; at the ends both mirror what they have.
    ours, inner = transformed(noise[:, HOP // 2 :]), slice(4, 36)
    torch.testing.assert_close(ours[..., inner], theirs[..., inner], rtol=1e-4, atol=1e-4)


def test_a_low_spectrum_is_made_again_when_its_song_is_newer(tmp_path):
    (song,) = songs_of_noise(tmp_path / "train", count=1).glob("*.npy")
    kept = keep_low(song)
    made = kept.stat().st_mtime_ns
    assert keep_low(song).stat().st_mtime_ns == made
    os.utime(song, ns=(made + 10**9, made + 10**9))
    assert keep_low(song).stat().st_mtime_ns != made


def test_a_stretched_tone_is_another_tone():
    tone = torch.zeros(2, LOW_BINS, FRAMES, dtype=torch.complex64)
    tone[:, 100] = 1
    assert int(stretched(tone, ratio=1.19).abs().sum((0, 2)).argmax()) == 119
    assert int(stretched(tone, ratio=0.84).abs().sum((0, 2)).argmax()) == 84


def test_songs_that_arrive_while_training_runs_are_used(tmp_path):
    library = Library.at(songs_of_noise(tmp_path / "train", count=1))
    np.save(tmp_path / "train" / "late.npy", np.zeros((4, 2, 4 * SECOND), np.int16))
    plan = Plan(1, 1, FRAMES, "cpu", 1)
    batch_of(99, library=library, plan=plan)
    assert len(library.songs) == 1
    batch_of(100, library=library, plan=plan)
    assert len(library.songs) == 2
