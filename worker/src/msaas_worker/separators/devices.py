"""The device and the number of threads that networks run on."""

import os
from pathlib import Path

import torch

from msaas.errors import DeviceUnavailable

#: Quota and period in µs, or `max`.
CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def choose_device(wanted: str) -> str:
    """Return `cpu` or `cuda`. Raises `DeviceUnavailable`."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise DeviceUnavailable("DEVICE=cuda needs a CUDA device, and there is none. Set DEVICE=auto.")
    return wanted


def usable_cores(*, quota_file: Path = CGROUP_QUOTA) -> int:
    """Return the cores of this process: the least of its affinity, its cgroup quota and OMP_NUM_THREADS."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _read_quota(quota_file, cores), _read_openmp_threads(cores)))


def _read_openmp_threads(cores: int) -> int:
    """Return OMP_NUM_THREADS, which divides the cores among several workers of a machine."""
    threads = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(threads) if threads.isdecimal() and int(threads) else cores


def _read_quota(file: Path, cores: int) -> int:
    try:
        quota, period = file.read_text().split()
        return round(int(quota) / int(period))
    except (OSError, ValueError):
        return cores
