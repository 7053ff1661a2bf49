"""A filter of system calls, built by libseccomp: an allow-list for this process, for the rest of its life.

libseccomp is a system library (LGPL-2.1, a dependency of apt). It knows the numbers of the calls on each
architecture, and kills a process that makes calls of another one, such as 32-bit calls on x86-64.
"""

import ctypes
import errno
import os
from collections.abc import Iterable, Mapping
from functools import cache
from typing import NamedTuple

_LIBRARY = "libseccomp.so.2"
_ALLOW, _ERRNO = 0x7FFF_0000, 0x0005_0000
_MASKED_EQUAL = 7
#: Apply the filter to all threads.
_ATTRIBUTE_TSYNC = 4


class Bits(NamedTuple):
    """The call is allowed while an argument has this value in these bits: none of them by default."""

    argument: int
    bits: int
    value: int = 0


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("mask", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
    )


def allow_only(calls: Iterable[str], *, conditions: Mapping[str, Bits]) -> None:
    """Let every other system call fail with `ENOSYS`, for which libraries have their fallbacks.

    Raises:
        OSError: the library or the kernel has no filters, or a call is unknown.
    """
    library = load_library()
    context = library.seccomp_init(_ERRNO | errno.ENOSYS)
    try:
        _check(library.seccomp_attr_set(context, _ATTRIBUTE_TSYNC, 1))
        for name in calls:
            _allow(library, context, name, conditions.get(name))
        _check(library.seccomp_load(context))
    finally:
        library.seccomp_release(context)


@cache
def load_library() -> ctypes.CDLL:
    library = ctypes.CDLL(_LIBRARY)
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_attr_set.argtypes = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32
    library.seccomp_rule_add_array.argtypes = (
        *(ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint),
        ctypes.POINTER(_Comparison),
    )
    library.seccomp_load.argtypes = (ctypes.c_void_p,)
    library.seccomp_release.argtypes = (ctypes.c_void_p,)
    return library


def _allow(library: ctypes.CDLL, context: int, name: str, condition: Bits | None) -> None:
    number = library.seccomp_syscall_resolve_name(name.encode())
    comparisons = [_comparison(condition)] if condition else []
    array = (_Comparison * len(comparisons))(*comparisons)
    _check(library.seccomp_rule_add_array(context, _ALLOW, number, len(comparisons), array))


def _comparison(condition: Bits) -> _Comparison:
    return _Comparison(condition.argument, _MASKED_EQUAL, condition.bits, condition.value)


def _check(result: int) -> None:
    """Raise the error of libseccomp, which returns it as a negative number."""
    if result < 0:
        raise OSError(-result, os.strerror(-result))
