"""The side of the worker: a check of the protections at its start, and a substitute for a missing one."""

import ctypes
import json
import subprocess
import sys
from contextlib import suppress

_PR_SET_DUMPABLE = 4


def find_missing_protections() -> list[str]:
    """Return the protections that `confine` lacks on this machine, tried in a process of its own."""
    command = (sys.executable, "-I", "-m", "msaas_worker.confinement.process")
    tried = subprocess.run(command, env={}, capture_output=True, check=True)  # noqa: S603 - our own module
    missing: list[str] = json.loads(tried.stdout)
    return missing


def hide_memory() -> None:
    """Deny memory and environment of this process to all others but those of root, and dump no core."""
    with suppress(AttributeError):  # Linux only.
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
