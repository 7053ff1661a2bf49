"""Time and memory of decoding a long MP3, by the decoders of this checkout and of another one, in turn.

    python -m bench.decode_hour --other PYTHON [--other-module MODULE] [--other-kind MP3] [--pairs 3]

PYTHON is the interpreter of the other checkout's `.venv`, and MODULE its decoder (`msaas_worker.decoder` in
early commits). It gets the KIND of the file as its last argument with `--other-kind`: decoders of MP3s alone
take none. On a busy machine read CPU times.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.songs import write_song

from msaas_worker.audio.decoded import SAMPLERATE

_CPU_S = 600
_MODULE = "msaas_worker.audio.decoder"


@dataclass(frozen=True)
class Run:
    wall_s: float
    cpu_s: float
    peak_mib: float
    samples: int


def decode(python: str, module: str, song: Path, frames: Path, *, kind: Sequence[str]) -> Run:
    """Run the decoder process alone, and remove its output."""
    command = [python, "-I", "-m", module, str(song), str(frames)]
    command += [str(2 * _CPU_S * 100 * SAMPLERATE), str(_CPU_S), *kind]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout
    facts = json.load(process.stdout)
    _, _, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - began
    frames.unlink()
    return Run(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, facts["samples"])


def _print(name: str, runs: list[Run]) -> None:
    median = {each: statistics.median(getattr(run, each) for run in runs) for each in ("wall_s", "cpu_s")}
    print(
        f"{name}: {median['wall_s']:.1f} s, CPU {median['cpu_s']:.1f} s, "
        f"at most {max(run.peak_mib for run in runs):.0f} MiB, {runs[0].samples} samples"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--other", required=True, help="the Python interpreter of the other checkout")
    parser.add_argument("--other-module", default=_MODULE)
    parser.add_argument("--other-kind", nargs="*", default=[])
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # In another process: the peak memory of a new process includes that of its parent.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            song = pool.submit(write_song, Path(folder), seconds=options.seconds).result()
        frames = Path(folder) / "song.f32"
        others, ours = [], []
        for _ in range(options.pairs):
            others.append(decode(options.other, options.other_module, song, frames, kind=options.other_kind))
            ours.append(decode(sys.executable, _MODULE, song, frames, kind=["MP3"]))
    _print("other", others)
    _print("this", ours)
    for name in ("wall_s", "cpu_s"):
        ratios = [getattr(one, name) / getattr(two, name) for one, two in zip(others, ours, strict=True)]
        print(f"{name}, other to this: {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})")


if __name__ == "__main__":
    main()
