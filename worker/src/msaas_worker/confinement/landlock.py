"""Landlock: this process may open few files for reading, and no port or socket, and signal no other process.

The kernel interface is in https://docs.kernel.org/userspace-api/landlock.html. It exists since Linux 5.13.
"""

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

#: These numbers are the same on all architectures of Linux but Alpha.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38
_ACCESS_FS_EXECUTE, _ACCESS_FS_READ_FILE = 1 << 0, 1 << 2
#: Each version of the interface knows the rights of its line and of all lines above it.
_ACCESS_FS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
_ACCESS_NET = {4: 0b11}
_SCOPE = {6: 0b11}


class _RulesetAttributes(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def restrict(*, readable: Iterable[Path] = (), executable: Iterable[Path] = ()) -> None:
    """Deny all files but these, and those in these folders. Files that are open already stay usable.

    Raises:
        OSError: the kernel has no Landlock, or does not allow it.
        RuntimeError: the process has several threads. Landlock would restrict one of them.
    """
    version = _call(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)
    if len(os.listdir("/proc/self/task")) > 1:
        raise RuntimeError("A process is confined before it starts its second thread.")
    rights = _RulesetAttributes(*(_known(each, version) for each in (_ACCESS_FS, _ACCESS_NET, _SCOPE)))
    ruleset = _call(_CREATE_RULESET, ctypes.byref(rights), ctypes.sizeof(rights), 0)
    try:
        for path in readable:
            _allow(ruleset, path, _ACCESS_FS_READ_FILE)
        for path in executable:
            _allow(ruleset, path, _ACCESS_FS_READ_FILE | _ACCESS_FS_EXECUTE)
        _check(_libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _known(rights: dict[int, int], version: int) -> int:
    return sum(each for since, each in rights.items() if since <= version)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    file = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = _PathBeneath(rights, file)
        _call(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(file)


def _call(number: int, *arguments: object) -> int:
    return _check(_libc().syscall(number, *arguments))


def _check(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
