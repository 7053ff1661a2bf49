"""Short attacks on the services of any release, to compare releases: a figure for each, in a few minutes.

    python -m bench.attacks                             # the release of this interpreter
    python -m bench.attacks --python OTHER/bin/python   # the release that is installed there
    python -m bench.attacks 5 6                         # single rows of docs/security-tests.md

The tests in `tests/attacks` check the present release. This script has no criteria: a release before them can
run it. Everything is on loopback, and bounded in number and time.
"""

import argparse
import itertools
import os
import sys
import tempfile
from pathlib import Path

from bench.attacks import (
    access,
    callbacks,
    connections,
    decoder,
    logs,
    queue,
    retention,
    songs,
    supply,
    uploads,
)
from bench.attacks.release import Release
from bench.attacks.target import Attack, Check, serving

ATTACKS: tuple[Attack, ...] = (
    *connections.ATTACKS,
    *callbacks.ATTACKS,
    *uploads.ATTACKS,
    *queue.ATTACKS,
    *access.ATTACKS,
    *logs.ATTACKS,
    *songs.ATTACKS,
    *retention.ATTACKS,
)
CHECKS: tuple[Check, ...] = (*callbacks.CHECKS, *decoder.CHECKS, *supply.CHECKS, *logs.CHECKS)


def _settings(attack: Attack) -> list[tuple[str, str]]:
    return sorted(attack.environment.items())


def _print(attack: Attack | Check, figure: str) -> None:
    print(f"| {attack.row} | {attack.damage} | {figure} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", default=sys.executable, help="the interpreter of the release to attack")
    parser.add_argument("rows", nargs="*", type=int, help="rows of the table (default: all)")
    args = parser.parse_args()
    release = Release(os.path.abspath(args.python))
    print("| row | attack | figure |\n|---|---|---|")
    chosen = [attack for attack in ATTACKS if not args.rows or attack.row in args.rows]
    for settings, attacks in itertools.groupby(sorted(chosen, key=_settings), key=_settings):
        with (
            tempfile.TemporaryDirectory() as folder,
            serving(release, Path(folder), dict(settings)) as target,
        ):
            for attack in attacks:
                _print(attack, attack.run(target))
    for check in CHECKS:
        if not args.rows or check.row in args.rows:
            with tempfile.TemporaryDirectory() as folder:
                _print(check, check.run(release, Path(folder)))


if __name__ == "__main__":
    main()
