"""Examples are excerpts of songs: half of them but turned about, half mixed and coloured anew.

Colours make up for the few soundfonts. With every example altered, and strongly, a model this small learnt
less in the same time (README). All of it happens to spectra, where it is cheap.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from msaas_training.songs import STEMS
from msaas_training.spectra import BINS, HOP, LOW_BINS, keep_low, transformed

_ALTERED_SHARE = 0.5
# Of the altered ones:
_STRANGERS_SHARE = 0.4
_MUTED_SHARE = 0.06
_MONO_SHARE = 0.1
_COLOURED_SHARE = 0.7
_GAIN_SPREAD_DB = 2.5
_STRETCH = (0.84, 1.19)
_FILTER_SPREAD_DB = 4.0
_FILTER_KNOTS = 6


@dataclass(frozen=True)
class Excerpt:
    """A song of the library, where to begin, in frames, and which take of the vocals to hear."""

    song: int
    first: int
    take: int

    def track(self, stem: int) -> int:
        """Where that stem lies: the takes of the vocals, the last stem, follow one another."""
        return stem + (self.take if STEMS[stem] == "vocals" else 0)


@dataclass
class Library:
    """The songs of a folder, each with its low spectrum; more may arrive while training runs (`refresh`).

    Where a song has its vocals more than once, an excerpt has one of the takes.

    They stay on disk, opened for each excerpt and read through the page cache.
    """

    folder: Path
    songs: list[Path]
    low: list[Path]

    @classmethod
    def at(cls, folder: Path) -> Library:
        """Transforms the songs whose low spectrum is missing: a fifth of a second each.

        Raises:
            ValueError: there are no songs.
        """
        library = cls(folder, [], [])
        library.refresh()
        if not library.songs:
            raise ValueError(f"there are no songs in {folder}: generate makes them")
        return library

    def refresh(self) -> None:
        self.songs = sorted(self.folder.glob("*.npy"))
        self.low = [keep_low(song) for song in self.songs]

    def pick(self, rng: np.random.Generator, *, frames: int) -> Excerpt:
        """A place in a song, all of which must be longer than `frames`."""
        song = int(rng.integers(len(self.songs)))
        tracks, _, _, length, _ = np.load(self.low[song], mmap_mode="r").shape
        takes = tracks - len(STEMS) + 1
        return Excerpt(song, int(rng.integers(length - frames + 1)), int(rng.integers(takes)))

    def spectrum(self, excerpt: Excerpt, *, stem: int, frames: int, bins: int) -> torch.Tensor:
        """Complex `[2, bins, frames]` of one stem."""
        if bins > LOW_BINS:
            start = excerpt.first * HOP
            wave = np.load(self.songs[excerpt.song], mmap_mode="r")
            return transformed(wave[excerpt.track(stem), :, start : start + frames * HOP])[:, :bins]
        low = np.load(self.low[excerpt.song], mmap_mode="r")
        kept = low[excerpt.track(stem), :, :bins, excerpt.first : excerpt.first + frames]
        return torch.view_as_complex(torch.from_numpy(np.array(kept)).float())


def draw_batch(
    library: Library, *, rng: np.random.Generator, size: int, frames: int, bins: int = BINS
) -> torch.Tensor:
    """Complex `[size, 4, 2, bins, frames]`: true stems, to be summed by whoever needs the mixture."""
    return torch.stack([draw_example(library, rng=rng, frames=frames, bins=bins) for _ in range(size)])


def draw_example(library: Library, *, rng: np.random.Generator, frames: int, bins: int) -> torch.Tensor:
    altered = rng.random() < _ALTERED_SHARE
    strangers = altered and rng.random() < _STRANGERS_SHARE
    excerpt, stretch, stems = library.pick(rng, frames=frames), rng.uniform(*_STRETCH), []
    for stem in range(len(STEMS)):
        if strangers:
            excerpt, stretch = library.pick(rng, frames=frames), rng.uniform(*_STRETCH)
        spectrum = turned(library.spectrum(excerpt, stem=stem, frames=frames, bins=bins), rng=rng)
        stems.append(desk(stretched(spectrum, ratio=stretch), rng=rng) if altered else spectrum)
    return torch.stack(stems)


def turned(stem: torch.Tensor, *, rng: np.random.Generator) -> torch.Tensor:
    """Another polarity, the sides exchanged."""
    sides = stem.flip(0) if rng.random() < 0.5 else stem
    return sides if rng.random() < 0.5 else -sides


def stretched(stem: torch.Tensor, *, ratio: float) -> torch.Tensor:
    """`[2, bins, frames]`, every frequency times `ratio`: other pitches and sizes at the same speed.

    Nothing is known of what lies above the bins: stretched down, the highest are silent.
    """
    bins = stem.shape[-2]
    origin = (torch.arange(bins) / ratio).round().long()
    return stem.index_select(-2, origin.clamp_max(bins - 1)) * (origin < bins)[:, None]


def desk(stem: torch.Tensor, *, rng: np.random.Generator) -> torch.Tensor:
    """Gain, width and colour of one stem `[2, bins, frames]`, or silence."""
    if rng.random() < _MUTED_SHARE:
        return torch.zeros_like(stem)
    out = stem.mean(0, keepdim=True).expand_as(stem) if rng.random() < _MONO_SHARE else stem
    if rng.random() < _COLOURED_SHARE:
        out = out * coloured(rng)[: stem.shape[-2], None]
    return out * float(10 ** (rng.normal(0, _GAIN_SPREAD_DB) / 20))


def coloured(rng: np.random.Generator) -> torch.Tensor:
    """The gains of a smooth filter drawn by chance, `[BINS]`; its knots are evenly spaced in octaves."""
    octaves = np.log2(np.arange(BINS) + 4.0)
    knots = np.linspace(octaves[0], octaves[-1], _FILTER_KNOTS)
    gains_db = np.interp(octaves, knots, rng.normal(0, _FILTER_SPREAD_DB, _FILTER_KNOTS))
    return torch.from_numpy(10 ** (gains_db / 20)).float()
