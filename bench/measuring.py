"""Paired runs of a reference and a candidate, and the statistics of their ratios."""

import ctypes
import os
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from msaas_worker.separators.htdemucs.operators import Arithmetic, Dense

#: M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD and M_MMAP_MAX of glibc's malloc.h.
_GLIBC_DEFAULTS = {-1: 64 << 20, -2: 128 << 10, -3: 32 << 20, -4: 65_536}
_SIZE = 2_048
_RUNS = 12


def own_cpu_s() -> float:
    """Return the CPU time of this process and of the children that it has waited for."""
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)


@dataclass(frozen=True)
class Cost:
    """Cost of one run: wall-clock time, and CPU time of all threads."""

    wall_s: float
    cpu_s: float

    @staticmethod
    def of(run: Callable[[], object], *, cpu_s: Callable[[], float] = own_cpu_s) -> "Cost":
        """Measure `run`. `cpu_s` returns the total CPU time of the processes that do the work."""
        wall, cpu = time.perf_counter(), cpu_s()
        run()
        return Cost(time.perf_counter() - wall, cpu_s() - cpu)


@dataclass
class Pairs:
    """`before` is the reference. A ratio above 1 is the speed-up of `after`."""

    before: list[Cost] = field(default_factory=list)
    after: list[Cost] = field(default_factory=list)

    def add(self, reference: Cost, other: Cost) -> None:
        self.before.append(reference)
        self.after.append(other)

    def null(self) -> "Pairs":
        """Return pairs of the reference with its own next run: their ratio is the noise."""
        return Pairs(self.before[:-1], self.before[1:])

    def summary(self) -> dict[str, float]:
        walls = [one.wall_s / two.wall_s for one, two in zip(self.before, self.after, strict=True)]
        cpus = [one.cpu_s / two.cpu_s for one, two in zip(self.before, self.after, strict=True)]
        return {
            "ratio": statistics.median(walls),
            "ratio_min": min(walls),
            "ratio_max": max(walls),
            "cpu_ratio": statistics.median(cpus),
            "reference_s": statistics.median(cost.wall_s for cost in self.before),
            "seconds": statistics.median(cost.wall_s for cost in self.after),
            "fastest_s": min(cost.wall_s for cost in self.after),
            "cpu_s": statistics.median(cost.cpu_s for cost in self.after),
            "pairs": len(walls),
        }


def matmul_peaks(*, threads: int) -> dict[str, float]:
    """Return the GFLOP/s of a matrix product on `threads` threads, by the least CPU time of several runs."""
    dtypes = [torch.float32]
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        dtypes.append(torch.bfloat16)
    peaks = {}
    for dtype in dtypes:
        name, operand = str(dtype).removeprefix("torch."), torch.randn(_SIZE, _SIZE).to(dtype)
        packed = Dense(operand, None, arithmetic=Arithmetic(dtype, torch.device("cpu"), packed=True))
        peaks[f"{name} torch"] = threads * _gflop_per_cpu_s(torch.mm, operand, operand)
        peaks[f"{name} packed"] = threads * _gflop_per_cpu_s(packed, operand)
    return peaks


def _gflop_per_cpu_s(product: Callable[..., object], *operands: torch.Tensor) -> float:
    fastest = min(Cost.of(lambda: product(*operands)).cpu_s for _ in range(_RUNS))
    return 2 * _SIZE**3 / fastest / 1e9


def forget_freed_memory() -> None:
    """Set the malloc of glibc to its defaults after large tensors have raised its thresholds."""
    mallopt = ctypes.CDLL(None).mallopt
    for name, value in _GLIBC_DEFAULTS.items():
        mallopt(name, value)


def load() -> float:
    """Return the load average of the last minute."""
    return os.getloadavg()[0]
