"""Quality and cost of the analysis, on songs of `training` with a known score, separated by `starter`.

    python -m bench.analysis [--songs 100] [--minutes M] [--cache DIR]
    python -m bench.analysis --cost [--pairs 5]

It needs the requirements and the instruments of `training/README.md`. The songs are those of the set `near`:
`starter` was trained without their instruments. Results are kept in the cache, so that a later run continues.
The bars count where the tempo and the beats are right. `--cost` separates one song with and without the
analysis in turn, and compares the CPU time.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench.measuring import Cost, Pairs, load
from bench.songs import write_song
from numpy.typing import NDArray

from msaas.models import FOUR_STEMS, STARTER
from msaas.recipe import Recipe
from msaas_worker.analysis.analyser import SongAnalyser
from msaas_worker.attempt import UnattendedAttempt
from msaas_worker.separation import separate_song
from msaas_worker.separators import Separator
from msaas_worker.separators.library import open_library

_SONG_S = 24.0
_BLOCK_SAMPLES = 6 * 44_100
#: The seeds of the set `near` begin with it.
_SET_SEED = 103
_TONICS = {
    "major": ["C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"],
    "minor": ["C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B"],
}
#: Most of the beats are as close to the score.
_BEAT_S = 0.03
_COST_S = 60.0


@dataclass(frozen=True)
class Result:
    """The facts of a score, and those that the analysis found."""

    style: str
    bpm: float
    tonic: int
    is_minor: bool
    found: dict[str, Any]

    @property
    def has_tempo(self) -> bool:
        tempo = self.found["tempo"]
        return bool(tempo) and abs(tempo["bpm"] / self.bpm - 1) < 0.01

    @property
    def has_octave(self) -> bool:
        """Whether the tempo, its half or its double was found."""
        tempo = self.found["tempo"]
        return bool(tempo) and any(abs(tempo["bpm"] / self.bpm / each - 1) < 0.01 for each in (0.5, 1, 2))

    @property
    def beat_errors_s(self) -> NDArray[np.float64]:
        beats = np.array(self.found["beats"]["times_s"]) * self.bpm / 60
        return np.asarray(np.abs(beats - np.round(beats)) * 60 / self.bpm)

    @property
    def has_beats(self) -> bool:
        return self.has_tempo and bool(np.median(self.beat_errors_s) < _BEAT_S)

    @property
    def has_bars(self) -> bool:
        if not self.has_beats:
            return False
        beats = self.found["beats"]
        downbeats = np.array(beats["times_s"])[beats["bars"]["first_downbeat"] :: 4] * self.bpm / 60
        return bool(np.mean(np.round(downbeats) % 4 == 0) > 0.7)

    @property
    def has_key(self) -> bool:
        return self._found_key == self._key

    @property
    def has_relative(self) -> bool:
        """Whether the key or its relative was found."""
        return self._found_key in (self._key, self._relative)

    @property
    def _found_key(self) -> str:
        return self.found["key"]["name"] if self.found["key"] else ""

    @property
    def _key(self) -> str:
        mode = "minor" if self.is_minor else "major"
        return f"{_TONICS[mode][self.tonic]} {mode}"

    @property
    def _relative(self) -> str:
        mode, distance = ("major", 3) if self.is_minor else ("minor", 9)
        return f"{_TONICS[mode][(self.tonic + distance) % 12]} {mode}"


def make_results(songs: int, *, minutes: float, cache: Path) -> Iterator[Result]:
    """Yield the results of the songs, from the cache where they are in it, until the time is over."""
    cache.mkdir(parents=True, exist_ok=True)
    separator: Separator | None = None
    ends_at = time.monotonic() + 60 * minutes
    for number in range(songs):
        path = cache / f"{number:04d}.json"
        if not path.exists():
            if time.monotonic() > ends_at:
                continue
            separator = separator or _open_starter()
            path.write_text(json.dumps(vars(_analyse(number, separator))), encoding="utf-8")
        yield Result(**json.loads(path.read_text(encoding="utf-8")))


def _open_starter() -> Separator:
    return open_library(default=STARTER, repo=None, fallback="", device="cpu", precision="auto").get(STARTER)


def _analyse(number: int, separator: Separator) -> Result:
    from msaas_training.composition import compose
    from msaas_training.palettes import PALETTES
    from msaas_training.separation import separate
    from msaas_training.songs import make_song

    seed = (_SET_SEED, number)
    score = compose(np.random.default_rng(list(seed)), duration_s=_SONG_S)
    mixture = make_song(seed=seed, palette=PALETTES["near"], duration_s=_SONG_S).stems.sum(0)
    stems, analyser = separate(mixture, separator=separator), SongAnalyser(FOUR_STEMS)
    for start in range(0, mixture.shape[-1], _BLOCK_SAMPLES):
        part = slice(start, start + _BLOCK_SAMPLES)
        analyser.feed(stems[..., part], mixture[..., part])
    return Result(score.style, 60 / score.beat_s, score.tonic, score.is_minor, json.loads(analyser.encode()))


def quality_table(results: list[Result]) -> str:
    right = [each for each in results if each.has_tempo]
    errors_ms = 1000 * np.concatenate([each.beat_errors_s for each in right] or [np.zeros(0)])
    rows = {
        "tempo within 1 %": _share(each.has_tempo for each in results),
        "tempo, its half or its double": _share(each.has_octave for each in results),
        "key": _share(each.has_key for each in results),
        "key or its relative": _share(each.has_relative for each in results),
        "beats, their median within 30 ms": _share(each.has_beats for each in results),
        "bars, where the beats are right": _share(each.has_bars for each in results if each.has_beats),
        "median error of the beats, where the tempo is right": f"{np.median(errors_ms):.1f} ms",
    }
    lines = [f"| {len(results)} songs of {_SONG_S:g} s | right |", "|---|---:|"]
    return "\n".join([*lines, *(f"| {name} | {value} |" for name, value in rows.items())])


def _share(rights: Iterable[bool]) -> str:
    found = list(rights)
    return f"{sum(found)} of {len(found)}, {sum(found) / max(1, len(found)):.0%}"


def confidence_table(results: list[Result]) -> str:
    """Return how often estimates of each confidence are right."""
    estimates = {
        "tempo": [
            (each.found["tempo"]["confidence"], each.has_tempo) for each in results if each.found["tempo"]
        ],
        "beats": [
            (each.found["beats"]["confidence"], each.has_beats) for each in results if each.found["beats"]
        ],
        "bars": [
            (each.found["beats"]["bars"]["confidence"], each.has_bars)
            for each in results
            if each.found["beats"]
        ],
        "key": [(each.found["key"]["confidence"], each.has_key) for each in results if each.found["key"]],
    }
    lines = ["| confidence | below 0.5 | 0.5 to 0.8 | above 0.8 |", "|---|---:|---:|---:|"]
    for name, pairs in estimates.items():
        bins = [[right for value, right in pairs if low <= value < high] for low, high in _BINS]
        lines.append(f"| {name}, right | " + " | ".join(map(_share, bins)) + " |")
    return "\n".join(lines)


_BINS = ((0.0, 0.5), (0.5, 0.8), (0.8, 1.1))


class _Sink:
    """Implements `Sink`: deletes the stems."""

    def __init__(self, *, takes_analysis: bool) -> None:
        self.takes_analysis = takes_analysis

    def put_stem(self, stem: str, file: Path, *, peaks: bytes) -> None:
        file.unlink()

    def put_analysis(self, analysis: bytes) -> None:
        pass


def measure_cost(*, pairs: int) -> str:
    separator, measured = _open_starter(), Pairs()
    with tempfile.TemporaryDirectory() as name:
        song = write_song(Path(name), seconds=_COST_S)

        def run(*, takes_analysis: bool) -> Cost:
            sink, attempt = _Sink(takes_analysis=takes_analysis), UnattendedAttempt()
            return Cost.of(
                lambda: separate_song(song, Recipe(), separator, sink, attempt, max_duration_s=7200)
            )

        run(takes_analysis=True)
        for _ in range(pairs):
            measured.add(run(takes_analysis=True), run(takes_analysis=False))
    more = [
        with_.cpu_s / without.cpu_s - 1
        for with_, without in zip(measured.before, measured.after, strict=True)
    ]
    null = [
        one.cpu_s / two.cpu_s - 1
        for one, two in zip(measured.null().before, measured.null().after, strict=True)
    ]
    return (
        f"CPU time of a job of {_COST_S:g} s with the analysis, {separator.engine}: "
        f"{np.median(more):+.1%} ({min(more):+.1%} to {max(more):+.1%}), "
        f"the same against the same {min(null):+.1%} to {max(null):+.1%}. "
        f"{np.median([each.cpu_s for each in measured.after]):.1f} s without it. Load average {load():.1f}."
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="bench.analysis", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--songs", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=60.0, help="render no further song after this time")
    parser.add_argument("--cache", type=Path, default=Path(".msaas/analysis"))
    parser.add_argument("--cost", action="store_true", help="measure the CPU time in place of the quality")
    parser.add_argument("--pairs", type=int, default=5)
    given = parser.parse_args()
    if given.cost:
        sys.stdout.write(measure_cost(pairs=given.pairs) + "\n")
        return 0
    results = list(make_results(given.songs, minutes=given.minutes, cache=given.cache))
    sys.stdout.write(f"{quality_table(results)}\n\n{confidence_table(results)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
