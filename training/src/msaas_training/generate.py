"""Generates the songs of a set and stores them as 16-bit arrays. Existing songs are kept."""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from msaas_training.palettes import HELD_OUT, PALETTES, recast_name
from msaas_training.songs import make_song

SONG_S = 24.0
FULL_SCALE = 32_767
#: The first part of every seed. A set and its recast share it, so they share their scores.
_SET_SEEDS = {
    "train": 100, "choose": 101, "near": 103, "far": 104, "varied": 105, "wide": 106, "cast": 106,
    "imagined": 107, "shells": 108,
}  # fmt: skip
SEEDS = _SET_SEEDS | {recast_name(name): _SET_SEEDS[name] for name in HELD_OUT}


@dataclass(frozen=True)
class SongTask:
    """A song to make: its set and its number in the set."""

    folder: Path
    set_name: str
    index: int

    @property
    def path(self) -> Path:
        return self.folder / self.set_name / f"{self.index:04d}.npy"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".msaas/training"), help="folder of the songs")
    parser.add_argument("--set", choices=PALETTES, default="train", dest="set_name", help="default: train")
    parser.add_argument("--songs", type=int, default=400, help="size of the set, default: 400")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    given = parser.parse_args()
    ensure_songs(given.cache, set_name=given.set_name, songs=given.songs, processes=given.processes)


def ensure_songs(cache: Path, *, set_name: str, songs: int, processes: int | None = None) -> list[Path]:
    """Make the missing songs of a set and return the paths of all its songs."""
    tasks = [SongTask(cache, set_name, index) for index in range(songs)]
    missing = [task for task in tasks if not task.path.exists()]
    (cache / set_name).mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(processes) as pool:
        for done, written in enumerate(as_completed([pool.submit(write_song, task) for task in missing]), 1):
            print(f"{set_name}: {done} of {len(missing)} songs ({written.result()})", flush=True)
    return [task.path for task in tasks]


def read_song(path: Path) -> NDArray[np.float32]:
    """Read stems `[3 + takes, 2, samples]`; full scale is 1."""
    stems: NDArray[np.float32] = (np.load(path) / np.float32(FULL_SCALE)).astype(np.float32)
    return stems


def write_song(task: SongTask) -> str:
    """Write the stems of a song, to a temporary file first, so that the final file is always complete."""
    seed = (SEEDS[task.set_name], task.index)
    song = make_song(seed=seed, palette=PALETTES[task.set_name], duration_s=SONG_S)
    partial = task.path.with_suffix(".part")
    with partial.open("wb") as file:
        np.save(file, (song.stems * FULL_SCALE).round().astype(np.int16))
    partial.replace(task.path)
    return f"{task.path.name}, {song.style}"


if __name__ == "__main__":
    main()
