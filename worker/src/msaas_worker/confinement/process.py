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
from msaas_worker.confinement.seccomp import Bits

#: System calls for computing in one thread, and for reading and writing open files.
_CALLS = (
    *("read", "readv", "pread64", "preadv", "write", "writev", "lseek", "ftruncate", "close", "fstat"),
    *("brk", "madvise", "mmap", "mprotect", "mremap", "munmap"),
    *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall"),
    *("clock_gettime", "clock_nanosleep", "gettimeofday", "getrandom", "futex", "sched_yield"),
    *("exit", "exit_group"),
)
#: Further calls of a program: its start, its threads, facts about itself, and files that Landlock allows.
_PROGRAM_CALLS = (
    *("execve", "arch_prctl", "set_tid_address", "set_robust_list", "rseq", "prlimit64", "clone"),
    *("openat", "newfstatat", "statx", "statfs", "access", "faccessat", "faccessat2", "readlink"),
    *("readlinkat", "getdents64", "fcntl", "poll", "ppoll", "mlock", "get_mempolicy", "set_mempolicy"),
    *("getpid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getrusage", "sched_getaffinity"),
    *("sysinfo", "uname", "getcwd"),
)
_CLONE_THREAD = 0x0001_0000
_ALL_BITS = 0xFFFF_FFFF
#: Commands of `fcntl` below it are about descriptors. It and others would send signals to any process.
_F_SETOWN = 8
_CONDITIONS = {
    "mmap": Bits(argument=2, bits=mmap.PROT_EXEC),
    "mprotect": Bits(argument=2, bits=mmap.PROT_EXEC),
}
#: A program loads its libraries into executable memory, and starts threads but no processes.
_PROGRAM_CONDITIONS = {
    "openat": Bits(argument=2, bits=os.O_ACCMODE | os.O_CREAT | os.O_TRUNC),
    "clone": Bits(argument=0, bits=_CLONE_THREAD, value=_CLONE_THREAD),
    "fcntl": Bits(argument=1, bits=_ALL_BITS - (_F_SETOWN - 1)),
    "prlimit64": Bits(argument=0, bits=_ALL_BITS),  # Process 0 is the caller.
}
#: The loader and the libraries of programs.
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")


def confine() -> tuple[str, ...]:
    """Give up everything but open files and memory.

    Returns the protections that this machine lacks. The others are in force.
    """
    return _apply(
        landlock.restrict,
        partial(seccomp.allow_only, _CALLS, conditions=_CONDITIONS),
    )


def confine_program(program: Path, *, readable: Path) -> tuple[str, ...]:
    """Give up everything but becoming `program`, its libraries, and opening `readable` for reading."""
    libraries = [Path(each) for each in _LIBRARIES if Path(each).exists()]
    return _apply(
        partial(landlock.restrict, readable=[readable], executable=[program.resolve(), *libraries]),
        partial(seccomp.allow_only, _CALLS + _PROGRAM_CALLS, conditions=_PROGRAM_CONDITIONS),
    )


def _apply(restrict: Callable[[], None], allow_only: Callable[[], None]) -> tuple[str, ...]:
    with suppress(OSError):
        seccomp.load_library()  # Landlock denies opening it.
    protections = {"landlock": restrict, "seccomp": allow_only}
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
    sys.stdout.write(json.dumps(confine()) + "\n")
