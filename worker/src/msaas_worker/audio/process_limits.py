"""Limits of a process that reads untrusted bytes."""

import ctypes
import resource
import signal
from contextlib import suppress

_PR_SET_PDEATHSIG = 1


def limit(*, memory_bytes: int, cpu_s: int, output_bytes: int) -> None:
    """Limit this process, and let it die with its parent (Linux only)."""
    limits = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_FSIZE: output_bytes,
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in limits.items():
        resource.setrlimit(kind, (value, value))
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
