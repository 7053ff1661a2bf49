"""Songs are made once, kept on disk as 16-bit arrays, and made again only where they are missing."""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from msaas_training.palettes import PALETTES, UNHEARD, recast_of
from msaas_training.songs import make_song

SONG_S = 24.0
FULL_SCALE = 32_767
#: The set is part of a song's seed: only a set and its recast share their scores.
_SET_SEEDS = {
    "train": 100, "choose": 101, "near": 103, "far": 104, "varied": 105, "wide": 106, "cast": 106,
    "imagined": 107, "shells": 108,
}  # fmt: skip
SEEDS = _SET_SEEDS | {recast_of(name): _SET_SEEDS[name] for name in UNHEARD}


@dataclass(frozen=True)
class Order:
    """One song to make."""

    folder: Path
    set_name: str
    index: int

    @property
    def path(self) -> Path:
        return self.folder / self.set_name / f"{self.index:04d}.npy"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".msaas/training"))
    parser.add_argument("--set", choices=PALETTES, default="train", dest="set_name")
    parser.add_argument("--songs", type=int, default=400)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    given = parser.parse_args()
    ensure(given.cache, set_name=given.set_name, songs=given.songs, processes=given.processes)


def ensure(cache: Path, *, set_name: str, songs: int, processes: int | None = None) -> list[Path]:
    """Make the songs of a set that are missing; returns where all of them lie."""
    orders = [Order(cache, set_name, index) for index in range(songs)]
    missing = [order for order in orders if not order.path.exists()]
    (cache / set_name).mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(processes) as pool:
        for done, job in enumerate(as_completed([pool.submit(write, order) for order in missing]), 1):
            print(f"{set_name}: {done} of {len(missing)} songs ({job.result()})", flush=True)
    return [order.path for order in orders]


def read(path: Path) -> NDArray[np.float32]:
    """`[3 + takes of the vocals, 2, samples]`, full scale is 1."""
    return (np.load(path) / np.float32(FULL_SCALE)).astype(np.float32)


def write(order: Order) -> str:
    """Write the song's stems beside its place and move it there, so that half a song is never read."""
    seed = (SEEDS[order.set_name], order.index)
    song = make_song(seed=seed, palette=PALETTES[order.set_name], duration_s=SONG_S)
    part = order.path.with_suffix(".part")
    with part.open("wb") as file:
        np.save(file, (song.stems * FULL_SCALE).round().astype(np.int16))
    part.replace(order.path)
    return f"{order.path.name}, {song.style}"


if __name__ == "__main__":
    main()
