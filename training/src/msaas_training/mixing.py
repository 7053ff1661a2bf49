"""Draws training examples: excerpts of songs, half of them augmented and partly remixed.

Augmentation adds variety, because the soundfonts are few. A model of this size learns less if every example
is augmented (TRIALS.md). All operations work on spectra, which is cheaper than on samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from msaas_training.songs import STEMS
from msaas_training.spectra import BINS, HOP, LOW_BINS, cache_low_spectrum, transform

_AUGMENTED_SHARE = 0.5
# Probabilities within the augmented examples. Remixed: each stem is from another song.
_REMIXED_SHARE = 0.4
_MUTED_SHARE = 0.06
_MONO_SHARE = 0.1
_FILTERED_SHARE = 0.7
_GAIN_SPREAD_DB = 2.5
_STRETCH = (0.84, 1.19)
_FILTER_SPREAD_DB = 4.0
_FILTER_KNOTS = 6


@dataclass(frozen=True)
class Excerpt:
    """A position in a song: index of the song, first frame, and take of the vocals."""

    song: int
    first: int
    take: int

    def track(self, stem: int) -> int:
        """Return the track of a stem. The takes of the vocals are the last tracks."""
        return stem + (self.take if STEMS[stem] == "vocals" else 0)


@dataclass
class Dataset:
    """The songs of a folder and their low spectra, read from disk for every excerpt.

    Songs can be added during training (`refresh`).
    """

    folder: Path
    songs: list[Path]
    low: list[Path]

    @classmethod
    def open(cls, folder: Path) -> Dataset:
        """Open a folder and compute missing low spectra, about 0.2 s a song.

        Raises:
            ValueError: the folder has no songs.
        """
        dataset = cls(folder, [], [])
        dataset.refresh()
        if not dataset.songs:
            raise ValueError(
                f"There are no songs in {folder}. Make them with `python -m msaas_training.generate`."
            )
        return dataset

    def refresh(self) -> None:
        """Find the songs that are in the folder now."""
        self.songs = sorted(self.folder.glob("*.npy"))
        self.low = [cache_low_spectrum(song) for song in self.songs]

    def draw_excerpt(self, rng: np.random.Generator, *, frames: int) -> Excerpt:
        """Draw a song, a position and a take. All songs must be longer than `frames`."""
        song = int(rng.integers(len(self.songs)))
        tracks, _, _, length, _ = np.load(self.low[song], mmap_mode="r").shape
        takes = tracks - len(STEMS) + 1
        return Excerpt(song, int(rng.integers(length - frames + 1)), int(rng.integers(takes)))

    def read_spectrum(self, excerpt: Excerpt, *, stem: int, frames: int, bins: int) -> torch.Tensor:
        """Read one stem of an excerpt as complex `[2, bins, frames]`."""
        if bins > LOW_BINS:
            start = excerpt.first * HOP
            wave = np.load(self.songs[excerpt.song], mmap_mode="r")
            return transform(wave[excerpt.track(stem), :, start : start + frames * HOP])[:, :bins]
        low = np.load(self.low[excerpt.song], mmap_mode="r")
        window = low[excerpt.track(stem), :, :bins, excerpt.first : excerpt.first + frames]
        return torch.view_as_complex(torch.from_numpy(np.array(window)).float())


def draw_batch(
    dataset: Dataset, *, rng: np.random.Generator, size: int, frames: int, bins: int = BINS
) -> torch.Tensor:
    """Draw a batch of stems, complex `[size, 4, 2, bins, frames]`."""
    return torch.stack([draw_example(dataset, rng=rng, frames=frames, bins=bins) for _ in range(size)])


def draw_example(dataset: Dataset, *, rng: np.random.Generator, frames: int, bins: int) -> torch.Tensor:
    augmented = rng.random() < _AUGMENTED_SHARE
    remixed = augmented and rng.random() < _REMIXED_SHARE
    excerpt, stretch, stems = dataset.draw_excerpt(rng, frames=frames), rng.uniform(*_STRETCH), []
    for stem in range(len(STEMS)):
        if remixed:
            excerpt, stretch = dataset.draw_excerpt(rng, frames=frames), rng.uniform(*_STRETCH)
        spectrum = flip_randomly(dataset.read_spectrum(excerpt, stem=stem, frames=frames, bins=bins), rng=rng)
        stems.append(
            augment_stem(stretch_frequencies(spectrum, ratio=stretch), rng=rng) if augmented else spectrum
        )
    return torch.stack(stems)


def flip_randomly(stem: torch.Tensor, *, rng: np.random.Generator) -> torch.Tensor:
    """Randomly invert the polarity and swap the channels."""
    flipped = stem.flip(0) if rng.random() < 0.5 else stem
    return flipped if rng.random() < 0.5 else -flipped


def stretch_frequencies(stem: torch.Tensor, *, ratio: float) -> torch.Tensor:
    """Multiply all frequencies of `[2, bins, frames]` by `ratio`, without a change of speed.

    With a ratio below 1 the highest bins become silent.
    """
    bins = stem.shape[-2]
    origin = (torch.arange(bins) / ratio).round().long()
    return stem.index_select(-2, origin.clamp_max(bins - 1)) * (origin < bins)[:, None]


def augment_stem(stem: torch.Tensor, *, rng: np.random.Generator) -> torch.Tensor:
    """Change gain, width and spectrum of one stem `[2, bins, frames]`, or mute it."""
    if rng.random() < _MUTED_SHARE:
        return torch.zeros_like(stem)
    out = stem.mean(0, keepdim=True).expand_as(stem) if rng.random() < _MONO_SHARE else stem
    if rng.random() < _FILTERED_SHARE:
        out = out * draw_filter(rng)[: stem.shape[-2], None]
    return out * float(10 ** (rng.normal(0, _GAIN_SPREAD_DB) / 20))


def draw_filter(rng: np.random.Generator) -> torch.Tensor:
    """Draw the gains of a smooth filter, `[BINS]`, with knots evenly spaced in octaves."""
    octaves = np.log2(np.arange(BINS) + 4.0)
    knots = np.linspace(octaves[0], octaves[-1], _FILTER_KNOTS)
    gains_db = np.interp(octaves, knots, rng.normal(0, _FILTER_SPREAD_DB, _FILTER_KNOTS))
    return torch.from_numpy(10 ** (gains_db / 20)).float()
