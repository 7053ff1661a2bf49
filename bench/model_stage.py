"""The model stage, warm, against `demucs.apply.apply_model` in float32: same mixture, same weights.

    python -m bench.model_stage [--repo DIR] [--pairs 5] [--segments 4] [--threads N] [--json FILE]

Runs alternate in one process, with the same number of threads. `stock` is demucs itself, and its ratio to
itself is the noise. `stock kept` has our allocator settings, so its difference to `exact` is due to the
model. The table also has the signal-to-noise ratio against the stems of demucs, and the share of the peak of
a matrix product in the same run, per second of CPU time. On a busy machine read the ratio of CPU times with
`--threads 1`, not wall-clock times.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from bench.measuring import Cost, Pairs, forget_freed_memory, load, matmul_peaks
from bench.random_htdemucs import PUBLISHED, write_repository
from bench.report import Findings, Goal
from demucs.apply import apply_model
from demucs.pretrained import get_model
from torch import Tensor

from msaas_worker.allocator import keep_freed_memory
from msaas_worker.audio.decoded import DecodedSong
from msaas_worker.separators import Precision
from msaas_worker.separators.devices import usable_cores
from msaas_worker.separators.htdemucs import prepare
from msaas_worker.separators.htdemucs.precision import probe_mixture, signal_to_noise_db
from msaas_worker.separators.htdemucs.support import htdemucs_network
from msaas_worker.separators.overlap_add import Mixture, Runner, segments_of

#: Of htdemucs. The counter of torch misses the 85 of attention on a processor.
_GFLOP_PER_SEGMENT = 335
#: `Mixture` divides by the deviation of the song plus this. The sum is 1.
_TINY = 1e-8
#: Gates A and B, against demucs in float32.
_GATE_DB = {"exact": 90.0, "auto": 45.0}
#: Speed relative to stock demucs, and share of the speed of torch's matrix product.
_GOALS, _GOALS_IN_BFLOAT16 = (1.25, 0.85), (3.0, 0.6)
PRECISIONS: tuple[Precision, ...] = ("exact", "auto")


@dataclass(frozen=True)
class Candidate:
    """A run to compare with demucs, and its signal-to-noise ratio."""

    run: Callable[[], object]
    arithmetic: str = "float32"
    snr_db: float = float("nan")


def measure(model: Any, *, pairs: int, segments: int, threads: int, folder: Path) -> dict[str, Any]:
    torch.set_num_threads(threads)
    mixture = probe_mixture(segments * segments_of(model).stride, samplerate=model.samplerate)
    song = _write_song(mixture, folder / "mixture.f32")
    peaks = matmul_peaks(threads=threads)

    def stock() -> Tensor:
        stems: Tensor = apply_model(model, mixture, shifts=0, split=True, overlap=0.25)
        return stems

    candidates = {"stock": Candidate(stock), "stock kept": Candidate(stock)}
    candidates |= _prepare_candidates(model, song, reference=stock(), threads=threads)
    measured = {name: Pairs() for name in candidates}
    for _ in range(pairs):
        forget_freed_memory()
        cost = Cost.of(stock)
        for name, candidate in candidates.items():
            measured[name].add(cost, Cost.of(candidate.run))
            keep_freed_memory()
    seconds, gflop = song.samples / model.samplerate, segments * _GFLOP_PER_SEGMENT
    rows = {
        name: _row(candidate, measured[name], peaks, seconds=seconds, gflop=gflop * threads)
        for name, candidate in candidates.items()
    }
    return {"rows": rows, "peaks_gflops": peaks, "segments": segments, "threads": threads, "load": load()}


def _prepare_candidates(
    model: Any, song: DecodedSong, *, reference: Tensor, threads: int
) -> dict[str, Candidate]:
    candidates = {}
    for precision in PRECISIONS:
        prepared = prepare(model, htdemucs_network(model), precision=precision, threads=threads)
        runner = Runner(segments=segments_of(model), forward=prepared, batch=prepared.batch)
        run = partial(_separate, runner, song)
        snr_db = signal_to_noise_db(reference, run()[None])
        candidates[precision] = Candidate(run, prepared.arithmetic, snr_db)
    return candidates


def _row(
    candidate: Candidate, measured: Pairs, peaks: dict[str, float], *, seconds: float, gflop: float
) -> dict[str, Any]:
    summary = measured.summary()
    kind, gflops = candidate.arithmetic.split("+")[0], gflop / summary["cpu_s"]
    return {
        "arithmetic": candidate.arithmetic,
        "snr_db": candidate.snr_db,
        **summary,
        "times_real_time": seconds / summary["seconds"],
        "gflops": gflops,
        "of_peak": gflops / peaks[f"{kind} torch"],
        "of_packed_peak": gflops / peaks[f"{kind} packed"],
    }


def _write_song(mixture: Tensor, path: Path) -> DecodedSong:
    mixture[0].T.contiguous().numpy().tofile(path)
    return DecodedSong(path, mixture.shape[-1], mean=0.0, std=1.0 - _TINY)


def _separate(runner: Runner, song: DecodedSong) -> Tensor:
    return torch.cat(list(runner.regions(Mixture(song), on_segments=lambda count: None)), dim=-1)


_COLUMNS = {
    "arithmetic": "{arithmetic}",
    "ratio (min-max)": "{ratio:.2f} ({ratio_min:.2f}-{ratio_max:.2f})",
    "in CPU time": "{cpu_ratio:.2f}",
    "SNR dB": "{snr_db:.1f}",
    "× real time": "{times_real_time:.2f}",
    "GFLOP/s": "{gflops:.0f}",
    "of torch's matmul": "{of_peak:.2f}",
    "of oneDNN's": "{of_packed_peak:.2f}",
}


def findings(result: dict[str, Any]) -> Findings:
    peaks = ", ".join(f"{name} {value:.0f}" for name, value in result["peaks_gflops"].items())
    return Findings(
        "The model alone, warm, against demucs' `apply_model`",
        result["rows"],
        _COLUMNS,
        tuple(goal for name in PRECISIONS for goal in _goals(name, result["rows"][name])),
        note=f"Peaks, GFLOP/s on {result['threads']} threads: {peaks}. Load average {result['load']:.1f}.",
        facts={name: value for name, value in result.items() if name != "rows"},
    )


def _goals(precision: str, row: dict[str, Any]) -> list[Goal]:
    faster, of_peak = _GOALS_IN_BFLOAT16 if row["arithmetic"].startswith("bfloat16") else _GOALS
    return [
        Goal(f"model, {precision}, SNR dB", row["snr_db"], at_least=_GATE_DB[precision], is_gate=True),
        Goal(f"model, {precision}, × stock", row["ratio"], at_least=faster),
        Goal(f"model, {precision}, of the matmul peak", row["of_peak"], at_least=of_peak),
    ]


def measure_in(folder: Path, *, repo: Path, pairs: int, segments: int, threads: int) -> Findings:
    model = get_model("htdemucs", repo=repo).models[0].eval()
    return findings(measure(model, pairs=pairs, segments=segments, threads=threads, folder=folder))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repo", type=Path, help="a MODEL_REPO with htdemucs; random weights without it")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--segments", type=int, default=4, help="how long the mixture is")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure_in(
            Path(folder),
            repo=options.repo or write_repository(Path(folder), name="htdemucs", configuration=PUBLISHED),
            pairs=options.pairs,
            segments=options.segments,
            threads=options.threads,
        )
    print(found.text())
    if options.json:
        options.json.write_text(json.dumps(found.as_json(), indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
