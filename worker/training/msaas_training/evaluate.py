"""The table of the model card: median SDR of each stem, for a DSP splitter and for the model."""

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
from msaas_training.export import WEIGHTS
from msaas_training.generate import SONG_S, ensure, read
from msaas_training.metrics import sdr_db
from msaas_training.palettes import UNHEARD, recast_of
from msaas_training.served import served
from msaas_training.songs import STEMS
from msaas_worker.separators.library import load_starter

#: Songs of each test set; a recast only tells how much better heard voices fare in the same songs.
TEST_SETS = dict.fromkeys((*UNHEARD, *map(recast_of, UNHEARD)), 12)
COLUMNS = ("mixture / 4", "DSP splitter", "starter")
#: What is left of a mixture in float32 when its parts are taken from it.
_EXACT_DB = 99
#: `[2, samples]` to `[4, 2, samples]`.
Splitter = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class Scores:
    """SDR in dB, `[songs, stems]`, of one splitter on one set; SNR of the sum, dB; speed."""

    sdr: NDArray[np.floating]
    sum_db: NDArray[np.floating]
    times_real_time: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".msaas/training"))
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=COLUMNS, default=COLUMNS, help="some of the columns")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    engine = load_starter(given.weights, device="cpu", precision="exact")
    splitters: dict[str, Splitter] = dict(
        zip(COLUMNS, (quarters, baseline.split, partial(served, by=engine)), strict=True)
    )
    songs = {
        name: [read(p) for p in ensure(given.cache, set_name=name, songs=n)] for name, n in TEST_SETS.items()
    }
    results = {
        column: {
            name: score(splitters[column], songs=some, said=f"{column}, {name}")
            for name, some in songs.items()
        }
        for column in given.only
    }
    print("\n".join(table(results)))


def quarters(mixture: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.stack([mixture / len(STEMS)] * len(STEMS))


def score(splitter: Splitter, *, songs: list[NDArray[np.float32]], said: str) -> Scores:
    """What a splitter makes of songs `[4, 2, samples]`; progress is told as `said`."""
    sdr, sums, spent_s = [], [], 0.0
    for number, stems in enumerate(songs, 1):
        mixture, started = stems.sum(0), time.process_time()
        estimates = splitter(mixture)
        spent_s += time.process_time() - started
        sdr.append([sdr_db(*pair) for pair in zip(stems, estimates, strict=True)])
        sums.append(sdr_db(mixture, estimates.sum(0)))
        print(f"{said}: {number} of {len(songs)} songs", file=sys.stderr, flush=True)
    return Scores(np.array(sdr), np.array(sums), len(songs) * SONG_S / spent_s)


def table(results: Mapping[str, Mapping[str, Scores]]) -> list[str]:
    """Markdown: a row a stem, a column a splitter; the speed is per CPU-second, whatever the cores."""
    unheard = {name: np.concatenate([sets[s].sdr for s in UNHEARD]) for name, sets in results.items()}
    medians = {name: np.median(sdr, axis=0) for name, sdr in unheard.items()}
    lines = [row("median SDR, dB", list(results)), "|---|" + "---:|" * len(results)]
    lines += [row(stem, [f"{m[i]:.1f}" for m in medians.values()]) for i, stem in enumerate(STEMS)]
    lines.append(row("mean of the four", [f"{m.mean():.1f}" for m in medians.values()]))
    for name in TEST_SETS:
        songs = len(next(iter(results.values()))[name].sdr)
        lines.append(
            row(f"vocals, `{name}` ({songs} songs)", [f"{vocals(r[name]):.1f}" for r in results.values()])
        )
    for name in UNHEARD:
        gaps = [voice_gap_db(r, name=name) for r in results.values()]
        lines.append(row(f"what `{name}` voices cost, song by song", [f"{gap:.1f}" for gap in gaps]))
    sums = [np.median(np.concatenate([r[s].sum_db for s in UNHEARD])) for r in results.values()]
    lines.append(row("SNR of the sum, dB", [f"{s:.0f}" if s < _EXACT_DB else "exact" for s in sums]))
    speeds = [f"{r['far'].times_real_time:.0f}" for r in results.values()]
    return [*lines, row("seconds of song a CPU-second", speeds)]


def vocals(scores: Scores) -> float:
    return float(np.median(scores.sdr[:, STEMS.index("vocals")]))


def voice_gap_db(sets: Mapping[str, Scores], *, name: str) -> float:
    """What vocals gain where voices that training heard sing the same song: the median of a test set."""
    place = STEMS.index("vocals")
    return float(np.median(sets[recast_of(name)].sdr[:, place] - sets[name].sdr[:, place]))


def row(head: str, cells: list[str]) -> str:
    return f"| {head} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
