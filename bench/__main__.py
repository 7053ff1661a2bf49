"""Every target on a processor, stage by stage, with the goals that it reached.

    python -m bench                              # all stages
    python -m bench --long [--long-pairs 2]      # with songs of 4 and 60 minutes
    python -m bench model length --json FILE     # some of them; the figures as JSON, too

Each stage is measured against its reference in the same run; the machine should have nothing else to do.
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
from bench.report import Findings, goals_table, machine
from bench.service import Service, running_service
from bench.songs import write_song

from msaas_worker.separators.devices import usable_cores

_WARM_UP_S = 5.0


@dataclass(frozen=True)
class Sizes:
    """How much is measured: songs in seconds, and how often."""

    pairs: int = 5
    segments: int = 4
    song_pairs: dict[float, int] = field(default_factory=lambda: {30: 5})
    #: Four strides of 5.85 s, less what MP3 adds.
    short_s: float = 23.3
    length_pairs: int = 3
    again_s: tuple[float, ...] = (30,)
    requests: int = 100
    first_s: float = 240
    first_songs: int = 3
    minutes: tuple[float, ...] = (1, 5)

    def long(self, *, pairs: int) -> "Sizes":
        return replace(self, song_pairs={**self.song_pairs, 240: pairs}, again_s=(30, 240), minutes=(5, 60))


#: Everything once, with the small model: shows that it works, not how fast it is.
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
class Ground:
    """Where stages run; the service starts with the first stage that asks for it."""

    sizes: Sizes
    repo: Path
    folder: Path
    stack: ExitStack

    @cached_property
    def service(self) -> Service:
        service = self.stack.enter_context(running_service(self.folder / "service", repo=self.repo))
        service.separated(write_song(self.folder, seconds=_WARM_UP_S))
        return service


def _model(ground: Ground) -> Findings:
    return model_stage.measured_in(
        ground.folder,
        repo=ground.repo,
        pairs=ground.sizes.pairs,
        segments=ground.sizes.segments,
        threads=usable_cores(),
    )


def _memory(ground: Ground) -> Findings:
    return worker_memory.memory(ground.sizes.minutes, models=ground.repo, folder=ground.folder)


def _song(ground: Ground) -> Findings:
    return end_to_end.end_to_end(ground.service, pairs=ground.sizes.song_pairs, folder=ground.folder)


def _length(ground: Ground) -> Findings:
    sizes = ground.sizes
    return served.length(
        ground.service, seconds=sizes.short_s, pairs=sizes.length_pairs, folder=ground.folder
    )


def _again(ground: Ground) -> Findings:
    sizes = ground.sizes
    return served.again(
        ground.service, lengths_s=sizes.again_s, requests=sizes.requests, folder=ground.folder
    )


def _first(ground: Ground) -> Findings:
    sizes = ground.sizes
    return served.first_second(
        ground.service, seconds=sizes.first_s, songs=sizes.first_songs, folder=ground.folder
    )


#: In this order, so that the service is not there yet while the model and a worker are measured alone.
STAGES: dict[str, Callable[[Ground], Findings]] = {
    "model": _model,
    "memory": _memory,
    "song": _song,
    "length": _length,
    "again": _again,
    "first": _first,
}


def measured(
    names: Iterable[str], *, sizes: Sizes, repo: Path, folder: Path
) -> Iterator[tuple[str, Findings]]:
    """Yield the findings of each stage as soon as it is through."""
    with ExitStack() as stack:
        ground = Ground(sizes, repo, folder, stack)
        for name in names:
            yield name, STAGES[name](ground)


def main(arguments: list[str] | None = None) -> int:
    """Return 0 when every gate holds; how fast a machine is makes no difference to that."""
    options = _options(arguments)
    result: dict[str, Any] = {"machine": machine(), "stages": {}}
    goals = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repo = options.repo or write_repository(
            folder / "models", name="htdemucs", configuration=SMALL if options.small else PUBLISHED
        )
        chosen = [stage for stage in STAGES if stage in (options.stages or STAGES)]
        for stage, found in measured(chosen, sizes=_sizes(options), repo=repo, folder=folder):
            _say(found.text() + "\n")
            result["stages"][stage] = found.as_json()
            goals += found.goals
    _say("### Goals\n\n" + goals_table(goals))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return 0 if all(goal.holds for goal in goals if goal.is_gate) else 1


def _sizes(options: argparse.Namespace) -> Sizes:
    sizes = SMOKE if options.small else Sizes()
    return sizes.long(pairs=options.long_pairs) if options.long else sizes


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stages", nargs="*", choices=[[], *STAGES], metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument("--long", action="store_true", help="songs of 4 and of 60 minutes, too")
    parser.add_argument("--long-pairs", type=int, default=2, help="runs of the CLI with 4 minutes")
    parser.add_argument("--small", action="store_true", help="the same network at a size for tests, once")
    parser.add_argument("--repo", type=Path, help="a MODEL_REPO with htdemucs; random weights without it")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
