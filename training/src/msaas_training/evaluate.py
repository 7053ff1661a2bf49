"""Prints the table of the model card: median SDR of the model, a DSP baseline and the mixture."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from msaas_training import baseline
from msaas_training.generate import SONG_S, ensure_songs, read_song
from msaas_training.metrics import sdr_db
from msaas_training.palettes import HELD_OUT, recast_name
from msaas_training.separation import separate
from msaas_training.songs import STEMS
from msaas_worker.separators.starter.loader import WEIGHTS, load_starter

#: Number of songs of each test set. Recasts show the effect of unseen voices in the same songs.
TEST_SETS = dict.fromkeys((*HELD_OUT, *map(recast_name, HELD_OUT)), 12)
COLUMNS = ("mixture / 4", "DSP splitter", "starter")
#: An SNR above this is float32 rounding.
_EXACT_DB = 99
#: `[2, samples]` to `[4, 2, samples]`.
Splitter = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class Scores:
    """Results of a splitter on a set: SDR `[songs, stems]` and SNR of the sum in dB, and speed."""

    sdr: NDArray[np.floating]
    sum_db: NDArray[np.floating]
    times_real_time: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".msaas/training"))
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=COLUMNS, default=COLUMNS, help="columns of the table")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    engine = load_starter(given.weights, device="cpu", precision="exact")
    splitters: dict[str, Splitter] = dict(
        zip(COLUMNS, (split_equally, baseline.split, partial(separate, separator=engine)), strict=True)
    )
    songs = {
        name: [read_song(p) for p in ensure_songs(given.cache, set_name=name, songs=n)]
        for name, n in TEST_SETS.items()
    }
    results = {
        column: {
            name: score(splitters[column], songs=stems, label=f"{column}, {name}")
            for name, stems in songs.items()
        }
        for column in given.only
    }
    print("\n".join(format_table(results)))


def split_equally(mixture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a quarter of the mixture as each stem."""
    return np.stack([mixture / len(STEMS)] * len(STEMS))


def score(splitter: Splitter, *, songs: list[NDArray[np.float32]], label: str) -> Scores:
    """Score a splitter on songs `[4, 2, samples]`. Progress is printed with `label`."""
    sdr, sums, spent_s = [], [], 0.0
    for number, stems in enumerate(songs, 1):
        mixture, started = stems.sum(0), time.process_time()
        estimates = splitter(mixture)
        spent_s += time.process_time() - started
        sdr.append([sdr_db(*pair) for pair in zip(stems, estimates, strict=True)])
        sums.append(sdr_db(mixture, estimates.sum(0)))
        print(f"{label}: {number} of {len(songs)} songs", file=sys.stderr, flush=True)
    return Scores(np.array(sdr), np.array(sums), len(songs) * SONG_S / spent_s)


def format_table(results: Mapping[str, Mapping[str, Scores]]) -> list[str]:
    """Format a Markdown table with a row for each stem and a column for each splitter.

    The speed is per CPU-second.
    """
    sdr_by_column = {name: np.concatenate([sets[s].sdr for s in HELD_OUT]) for name, sets in results.items()}
    medians = {name: np.median(sdr, axis=0) for name, sdr in sdr_by_column.items()}
    lines = [format_row("median SDR, dB", list(results)), "|---|" + "---:|" * len(results)]
    lines += [format_row(stem, [f"{m[i]:.1f}" for m in medians.values()]) for i, stem in enumerate(STEMS)]
    lines.append(format_row("mean of the four", [f"{m.mean():.1f}" for m in medians.values()]))
    for name in TEST_SETS:
        songs = len(next(iter(results.values()))[name].sdr)
        lines.append(
            format_row(
                f"vocals, `{name}` ({songs} songs)",
                [f"{median_vocals_db(r[name]):.1f}" for r in results.values()],
            )
        )
    for name in HELD_OUT:
        gaps = [voice_gap_db(r, name=name) for r in results.values()]
        lines.append(
            format_row(f"loss through `{name}` voices, median over songs", [f"{gap:.1f}" for gap in gaps])
        )
    sums = [np.median(np.concatenate([r[s].sum_db for s in HELD_OUT])) for r in results.values()]
    lines.append(
        format_row(
            "SNR of the sum of the stems, dB", [f"{s:.0f}" if s < _EXACT_DB else "exact" for s in sums]
        )
    )
    speeds = [f"{r['far'].times_real_time:.0f}" for r in results.values()]
    return [*lines, format_row("seconds of song in a CPU-second", speeds)]


def median_vocals_db(scores: Scores) -> float:
    return float(np.median(scores.sdr[:, STEMS.index("vocals")]))


def voice_gap_db(sets: Mapping[str, Scores], *, name: str) -> float:
    """Return the median gain of vocals SDR if training voices sing the same songs."""
    index = STEMS.index("vocals")
    return float(np.median(sets[recast_name(name)].sdr[:, index] - sets[name].sdr[:, index]))


def format_row(head: str, cells: list[str]) -> str:
    return f"| {head} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
