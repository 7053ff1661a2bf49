"""Benchmarks on a CPU, stage by stage, with the goals that each one reached.

    python -m bench                              # all stages
    python -m bench --long [--long-pairs 2]      # also with songs of 4 and 60 minutes
    python -m bench model length --json FILE     # two stages, and the figures as JSON

Each stage is measured against its reference in the same run. The machine should run nothing else.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bench import end_to_end, model_stage, served, worker_memory
from bench.random_htdemucs import PUBLISHED, SMALL, write_repository
from bench.report import Findings, Goal, goals_table, machine
from bench.service import Service, running_service
from bench.songs import write_song

from msaas_worker.separators.devices import usable_cores

_WARM_UP_S = 5.0


@dataclass(frozen=True)
class Sizes:
    """Lengths of songs in seconds, and numbers of runs."""

    pairs: int = 5
    segments: int = 4
    song_pairs: dict[float, int] = field(default_factory=lambda: {30: 5})
    #: Four strides of 5.85 s, minus the padding that MP3 adds.
    short_s: float = 23.3
    length_pairs: int = 3
    again_s: tuple[float, ...] = (30,)
    requests: int = 100
    first_s: float = 240
    first_songs: int = 3
    minutes: tuple[float, ...] = (1, 5)

    def long(self, *, pairs: int) -> "Sizes":
        return replace(self, song_pairs={**self.song_pairs, 240: pairs}, again_s=(30, 240), minutes=(5, 60))


#: Every stage once, with the small model: shows that the stages work, not how fast the code is.
SMOKE = Sizes(
    pairs=1,
    segments=2,
    song_pairs={3: 1},
    short_s=0.7,
    length_pairs=1,
    again_s=(3,),
    requests=20,
    first_s=8,
    first_songs=1,
    minutes=(0.3, 0.6),
)


@dataclass(frozen=True)
class Environment:
    """The environment of the stages. The service starts with the first stage that needs it."""

    sizes: Sizes
    repo: Path
    folder: Path
    stack: ExitStack

    @cached_property
    def service(self) -> Service:
        service = self.stack.enter_context(running_service(self.folder / "service", repo=self.repo))
        service.separate(write_song(self.folder, seconds=_WARM_UP_S))
        return service


def _model(environment: Environment) -> Findings:
    return model_stage.measure_in(
        environment.folder,
        repo=environment.repo,
        pairs=environment.sizes.pairs,
        segments=environment.sizes.segments,
        threads=usable_cores(),
    )


def _memory(environment: Environment) -> Findings:
    return worker_memory.memory(environment.sizes.minutes, models=environment.repo, folder=environment.folder)


def _song(environment: Environment) -> Findings:
    return end_to_end.end_to_end(
        environment.service, pairs=environment.sizes.song_pairs, folder=environment.folder
    )


def _length(environment: Environment) -> Findings:
    sizes = environment.sizes
    return served.length(
        environment.service, seconds=sizes.short_s, pairs=sizes.length_pairs, folder=environment.folder
    )


def _again(environment: Environment) -> Findings:
    sizes = environment.sizes
    return served.again(
        environment.service, lengths_s=sizes.again_s, requests=sizes.requests, folder=environment.folder
    )


def _first(environment: Environment) -> Findings:
    sizes = environment.sizes
    return served.first_second(
        environment.service, seconds=sizes.first_s, songs=sizes.first_songs, folder=environment.folder
    )


#: Order of the stages: the model and a single worker are measured before the service starts.
STAGES: dict[str, Callable[[Environment], Findings]] = {
    "model": _model,
    "memory": _memory,
    "song": _song,
    "length": _length,
    "again": _again,
    "first": _first,
}


def measure_stages(
    names: Iterable[str], *, sizes: Sizes, repo: Path, folder: Path
) -> Iterator[tuple[str, Findings]]:
    """Yield the findings of each stage when it ends."""
    with ExitStack() as stack:
        environment = Environment(sizes, repo, folder, stack)
        for name in names:
            yield name, STAGES[name](environment)


def main(arguments: list[str] | None = None) -> int:
    """Return 0 when every gate holds. Gates do not depend on the speed of the machine."""
    options = _options(arguments)
    result: dict[str, Any] = {"machine": machine(), "stages": {}}
    goals: list[Goal] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repo = options.repo or write_repository(
            folder / "models", name="htdemucs", configuration=SMALL if options.small else PUBLISHED
        )
        chosen = [stage for stage in STAGES if stage in (options.stages or STAGES)]
        for stage, found in measure_stages(chosen, sizes=_sizes(options), repo=repo, folder=folder):
            _print(found.text() + "\n")
            result["stages"][stage] = found.as_json()
            goals += found.goals
    _print("### Goals\n\n" + goals_table(goals))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return 0 if all(goal.holds for goal in goals if goal.is_gate) else 1


def _sizes(options: argparse.Namespace) -> Sizes:
    sizes = SMOKE if options.small else Sizes()
    return sizes.long(pairs=options.long_pairs) if options.long else sizes


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stages", nargs="*", choices=[[], *STAGES], metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument("--long", action="store_true", help="also measure songs of 4 and of 60 minutes")
    parser.add_argument("--long-pairs", type=int, default=2, help="runs of the demucs CLI with 4 minutes")
    parser.add_argument("--small", action="store_true", help="every stage once, with a small network")
    parser.add_argument("--repo", type=Path, help="a MODEL_REPO with htdemucs (default: random weights)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
