"""Confines this process: it computes, reads what it may read, and writes to the files that it has open.

    python -m msaas_worker.confinement.process     prints the protections that this machine lacks

A process confines itself after its imports and before it reads the first untrusted byte. This needs no
privileges and cannot be undone.
"""

import json
import mmap
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from msaas_worker.confinement import landlock, seccomp
from msaas_worker.confinement.seccomp import Without

#: System calls for computing in one thread, and for reading and writing open files.
_CALLS = (
    *("read", "readv", "pread64", "preadv", "write", "writev", "lseek", "close", "fstat"),
    *("brk", "madvise", "mmap", "mprotect", "mremap", "munmap"),
    *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall"),
    *("clock_gettime", "clock_nanosleep", "gettimeofday", "getrandom", "futex", "sched_yield"),
    *("exit", "exit_group"),
)
#: Calls for opening a file and for its size. They take any path: Landlock denies to open another file.
_OPEN_CALLS = ("openat", "newfstatat", "statx")
_CONDITIONS = {
    "mmap": Without(argument=2, bits=mmap.PROT_EXEC),
    "mprotect": Without(argument=2, bits=mmap.PROT_EXEC),
    "openat": Without(argument=2, bits=os.O_ACCMODE | os.O_CREAT | os.O_TRUNC),
}


def confine(*, readable: Path | None = None) -> tuple[str, ...]:
    """Give up everything but open files, memory, and opening `readable` for reading.

    Returns the protections that this machine lacks. The others are in force.
    """
    calls = _CALLS + (_OPEN_CALLS if readable else ())
    with suppress(OSError):
        seccomp.load_library()  # Landlock denies opening it.
    protections: dict[str, Callable[[], None]] = {
        "landlock": partial(landlock.restrict, readable=readable),
        "seccomp": partial(seccomp.allow_only, calls, conditions=_CONDITIONS),
    }
    return tuple(name for name, apply in protections.items() if not _is_applied(apply))


def _is_applied(apply: Callable[[], None]) -> bool:
    if sys.platform != "linux":
        return False
    try:
        apply()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.stdout.write(json.dumps(confine(readable=Path(__file__))) + "\n")
