"""Time to decode a song of one second, with and without the confinement of the decoder, in turn.

    python -m bench.decoder_start [--pairs 20]

Nearly all of it is the start of the process: Python, numpy and the decoder. On a busy machine read CPU times.
"""

import argparse
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

from worker.tests.songs import song_mp3

from msaas_worker.audio.decoding import DecoderProcess, decode

_DECODER = (
    "import sys, runpy\n"
    "from msaas_worker.confinement import process\n"
    "{change}\n"
    "sys.argv[0] = 'msaas_worker.audio.decoder'\n"
    "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)\n"
)
_CHANGES = {"confined": "", "not confined": "process.confine = lambda: ()"}


def decode_ms(folder: Path, change: str) -> tuple[float, float]:
    """Return wall-clock and CPU time."""
    process = DecoderProcess(command=(sys.executable, "-I", "-c", _DECODER.format(change=change)))
    began, cpu = time.perf_counter(), _cpu_s_of_children()
    decode(folder / "song.mp3", folder / "song.f32", max_duration_s=60, process=process)
    return 1000 * (time.perf_counter() - began), 1000 * (_cpu_s_of_children() - cpu)


def _cpu_s_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _print(name: str, values: list[float]) -> None:
    lower, median, upper = statistics.quantiles(values, n=4)
    print(f"{name:30} median {median:6.1f} ms, quartiles {lower:.1f} and {upper:.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20)
    pairs = parser.parse_args().pairs
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "song.mp3").write_bytes(song_mp3(1))
        runs = [[decode_ms(Path(folder), change) for change in _CHANGES.values()] for _ in range(pairs)]
    for clock, name in enumerate(("time", "CPU time")):
        for place, kind in enumerate(_CHANGES):
            _print(f"{name}, {kind}", [pair[place][clock] for pair in runs])
        _print(f"{name}, difference of a pair", [on[clock] - off[clock] for on, off in runs])


if __name__ == "__main__":
    main()
