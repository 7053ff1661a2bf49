"""What a model runs on: the device that was asked for, and as many threads as there are cores to use."""

import os
from pathlib import Path

import torch

from msaas.errors import DeviceUnavailable

#: Quota and period in µs, or `max`.
_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def choose_device(wanted: str) -> str:
    """Return `cpu` or `cuda`. Raises `DeviceUnavailable`."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise DeviceUnavailable(
            "DEVICE=cuda, but there is no usable CUDA device; DEVICE=auto takes what is there."
        )
    return wanted


def usable_cores() -> int:
    """Return the cores of this process: its affinity, the quota of its container or what it was granted."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _quota(cores), _granted(cores)))


def _granted(cores: int) -> int:
    """Return the threads that OpenMP may use: whoever starts several workers shares out the cores so."""
    threads = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(threads) if threads.isdecimal() and int(threads) else cores


def _quota(cores: int) -> int:
    try:
        quota, period = _CGROUP_QUOTA.read_text().split()
        return round(int(quota) / int(period))
    except (OSError, ValueError):
        return cores
