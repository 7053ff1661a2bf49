"""Attempts of a process to escape. Each either has its effect, or raises an error.

    python -m worker.tests.escapes FOLDER     makes them in a plain process, and prints their results

A plain process shows which attempts work on this machine at all. No attempt harms the machine or the parent.
"""

import ctypes
import errno
import fcntl
import json
import mmap
import os
import resource
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD = -100
_PTRACE_PEEKDATA = 2
_PR_SET_PDEATHSIG = 1
#: The numbers of these calls are the same on all architectures.
_IO_URING_SETUP, _PIDFD_OPEN, _OPENAT2 = 425, 434, 437
_CALLS = 1024
#: `uretprobe` and `uprobe` of x86-64. The kernel kills a process that calls them, with or without a filter.
_PROBES = {335, 336}
_NOWHERE = ("127.0.0.1", 9)
#: Read before the confinement, which denies these calls.
_ME, _PARENT = os.getpid(), os.getppid()


def check(result: int, *, expected: int | None = None) -> int:
    """Raise the error of a call, unless it is the one that an allowed call ends with."""
    if result < 0 and ctypes.get_errno() != expected:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def fork(child: Callable[[], object]) -> None:
    pid = os.fork()
    if not pid:
        child()
        os._exit(0)
    os.waitpid(pid, 0)


def become_a_missing_program() -> None:
    with suppress(FileNotFoundError):
        os.execv("/no/such/program", ["program"])


def start_thread() -> None:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()


def connect(family: int, address: object) -> None:
    with socket.socket(family) as connection, suppress(ConnectionRefusedError, FileNotFoundError):
        connection.connect(address)


def send_datagram() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", _NOWHERE)


def make_socket_pair() -> None:
    for each in socket.socketpair():
        each.close()


def set_up_io_uring() -> None:
    os.close(check(_LIBC.syscall(_IO_URING_SETUP, 1, ctypes.create_string_buffer(120))))


def open_by_another_call(path: Path) -> None:
    how = (ctypes.c_uint64 * 3)()
    os.close(check(_LIBC.syscall(_OPENAT2, _AT_FDCWD, bytes(path), how, ctypes.sizeof(how))))


def truncate_by_opening(path: Path) -> None:
    os.close(os.open(path, os.O_RDONLY | os.O_TRUNC))


def read_memory_of_parent() -> None:
    # The first page is never mapped. An allowed reader learns that by EFAULT.
    buffer = ctypes.create_string_buffer(8)
    here, there = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 8), (ctypes.c_size_t * 2)(8, 8)
    check(_LIBC.process_vm_readv(_PARENT, here, 1, there, 1, 0), expected=errno.EFAULT)


def trace_parent() -> None:
    # The parent is not traced. An allowed caller learns that by ESRCH.
    check(_LIBC.ptrace(_PTRACE_PEEKDATA, _PARENT, None, None), expected=errno.ESRCH)


def outlive_parent() -> None:
    check(_LIBC.prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0))


def slow_parent_down() -> None:
    os.setpriority(os.PRIO_PROCESS, _PARENT, os.getpriority(os.PRIO_PROCESS, _PARENT))


def map_executable_page() -> None:
    mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def make_page_executable() -> None:
    page = mmap.mmap(-1, mmap.PAGESIZE)
    address = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    check(_LIBC.mprotect(address, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC))


def escapes(folder: Path) -> dict[str, Callable[[], object]]:
    """Return the attempts by name. `folder` has a file `other`."""
    other, parent = folder / "other", Path(f"/proc/{_PARENT}")
    return {
        "read /etc/passwd": lambda: Path("/etc/passwd").read_bytes(),
        "read another file of the user": other.read_bytes,
        "open a file by another call": lambda: open_by_another_call(other),
        "list a folder": lambda: os.listdir(folder),
        "read its own environment": lambda: Path(f"/proc/{_ME}/environ").read_bytes(),
        "read the environment of the parent": (parent / "environ").read_bytes,
        "open the memory of the parent": lambda: (parent / "mem").open("rb").close(),
        "list the open files of the parent": lambda: os.listdir(parent / "fd"),
        "create a file": lambda: (folder / "new").write_bytes(b""),
        "write another file": lambda: other.write_bytes(b""),
        "truncate a file by opening it": lambda: truncate_by_opening(other),
        "truncate a file by its name": lambda: os.truncate(other, 1),
        "rename a file": lambda: other.rename(folder / "renamed").rename(other),
        "link a file": lambda: os.link(other, folder / "link"),
        "make a symbolic link": lambda: (folder / "symbolic").symlink_to(other),
        "change the mode of a file": lambda: other.chmod(0o600),
        "delete a file": (folder / "deletable").unlink,
        "make a folder": (folder / "folder").mkdir,
        "make a named pipe": lambda: os.mkfifo(folder / "pipe"),
        "change the working folder": lambda: os.chdir(folder),
        "make a file in memory": lambda: os.close(os.memfd_create("memory")),
        "connect by IPv4": lambda: connect(socket.AF_INET, _NOWHERE),
        "connect by IPv6": lambda: connect(socket.AF_INET6, ("::1", 9)),
        "connect to a Unix socket": lambda: connect(socket.AF_UNIX, f"{folder}/socket"),
        "connect to an abstract Unix socket": lambda: connect(socket.AF_UNIX, "\0no such socket"),
        "send a datagram": send_datagram,
        "make a pair of sockets": make_socket_pair,
        "set up io_uring": set_up_io_uring,
        "fork": lambda: fork(int),
        "become another program": become_a_missing_program,
        "start a thread": start_thread,
        "leave the session": os.setsid,
        "signal the parent": lambda: os.kill(_PARENT, 0),
        "let the kernel signal the parent": lambda: fcntl.fcntl(sys.stdout, fcntl.F_SETOWN, _PARENT),
        "open the process of the parent": lambda: os.close(check(_LIBC.syscall(_PIDFD_OPEN, _PARENT, 0))),
        "read the memory of the parent": read_memory_of_parent,
        "trace the parent": trace_parent,
        "read the limits of the parent": lambda: resource.prlimit(_PARENT, resource.RLIMIT_CORE),
        "slow the parent down": slow_parent_down,
        "outlive the parent": outlive_parent,
        "map an executable page": map_executable_page,
        "make a page executable": make_page_executable,
    }


def attempt_all(folder: Path) -> dict[str, str]:
    """Return the result of each attempt: an empty text if it had its effect, or its error."""
    results = {}
    for name, attempt in escapes(folder).items():
        try:
            attempt()
            results[name] = ""
        except (OSError, RuntimeError) as error:
            results[name] = f"{type(error).__name__}: {error}"
    return results


def open_files() -> list[int]:
    return [number for number in range(256) if is_open(number)]


def is_open(number: int) -> bool:
    try:
        os.lseek(number, 0, os.SEEK_CUR)
    except OSError as error:
        return error.errno != errno.EBADF
    return True


def answered_calls(*, known: set[int]) -> list[int]:
    """Return the numbers of the system calls beside `known` that the kernel executes, with bad arguments."""
    if os.getpid() == _ME:
        raise RuntimeError("This process is not confined. The calls would harm the machine.")
    unknown = sorted(set(range(_CALLS)) - known - _PROBES)
    return [
        number
        for number in unknown
        if _LIBC.syscall(number, *[ctypes.c_long(-1)] * 6) >= 0 or ctypes.get_errno() != errno.ENOSYS
    ]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(attempt_all(Path(sys.argv[1]))))
