"""No training example is heard twice: stems meet at random, at other speeds, levels and places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from msaas_training.generate import FULL_SCALE
from msaas_training.songs import STEMS

_VARISPEED = (0.82, 1.22)
_GAIN_DB = (-7.0, 5.0)
_STRANGERS_SHARE = 0.6
_MUTED_SHARE = 0.12
_MONO_SHARE = 0.12
_TONE_SHARE = 0.3


@dataclass
class Library:
    """The songs of a folder; more may arrive while training runs (`refresh`)."""

    folder: Path
    songs: list[NDArray[np.int16]]

    @classmethod
    def at(cls, folder: Path) -> Library:
        library = cls(folder, [])
        library.refresh()
        return library

    def refresh(self) -> None:
        """Songs stay on disk and are read through the page cache."""
        self.songs = [np.load(path, mmap_mode="r") for path in sorted(self.folder.glob("*.npy"))]


def draw_batch(library: Library, *, rng: np.random.Generator, size: int, samples: int) -> NDArray[np.float32]:
    """`[size, 4, 2, samples]`: true stems, to be summed by whoever needs the mixture."""
    return np.stack([draw_example(library.songs, rng=rng, samples=samples) for _ in range(size)])


def draw_example(
    songs: Sequence[NDArray[np.int16]], *, rng: np.random.Generator, samples: int
) -> NDArray[np.float32]:
    strangers = rng.random() < _STRANGERS_SHARE
    song, start, speed = rng.integers(len(songs)), rng.random(), rng.uniform(*_VARISPEED)
    stems = []
    for stem in range(len(STEMS)):
        if strangers:
            song, start, speed = rng.integers(len(songs)), rng.random(), rng.uniform(*_VARISPEED)
        stems.append(desk(cut(songs[song][stem], start=start, speed=speed, samples=samples), rng=rng))
    return np.stack(stems)


def cut(stem: NDArray[np.int16], *, start: float, speed: float, samples: int) -> NDArray[np.float32]:
    """`[2, samples]` from a place in the song, played at a speed, which moves its pitch as well."""
    length = int(samples * speed) + 2
    first = int(start * (stem.shape[1] - length))
    piece = np.asarray(stem[:, first : first + length], np.float32) / FULL_SCALE
    places = np.arange(samples) * speed
    return np.stack([np.interp(places, np.arange(length), side) for side in piece]).astype(np.float32)


def desk(stem: NDArray[np.float32], *, rng: np.random.Generator) -> NDArray[np.float32]:
    """Gain, polarity, sides and tone of one stem, or silence."""
    if rng.random() < _MUTED_SHARE:
        return np.zeros_like(stem)
    gain = 10 ** (rng.uniform(*_GAIN_DB) / 20) * rng.choice([-1, 1])
    out = stem[::-1] if rng.random() < 0.5 else stem
    if rng.random() < _MONO_SHARE:
        out = np.repeat(out.mean(0, keepdims=True), 2, axis=0)
    if rng.random() < _TONE_SHARE:
        out = toned(out, amount=float(rng.uniform(-0.6, 0.6)))
    return (out * gain).astype(np.float32)


def toned(stem: NDArray[np.float32], *, amount: float) -> NDArray[np.float32]:
    """Two taps: positive amounts darken, negative ones brighten."""
    out = stem.copy()
    out[:, 1:] += amount * stem[:, :-1]
    return out / (1 + max(0.0, amount))
