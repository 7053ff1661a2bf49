"""The memory of one segment is that of the next: glibc keeps what was freed, but for the largest blocks."""

import ctypes
import sys
from typing import Any

#: From glibc's malloc.h; what is set holds for the process.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8
_TOP_PAD_BYTES = 64 << 20
#: A map of the outermost level in float32 is 31 MiB, and few holes of the heap are. Mapped, these blocks cost
#: nothing that can be measured; from 12 MiB on a segment takes 14 % longer in float32 (docs/performance.md).
_LARGEST_IN_THE_HEAP_BYTES = 24 << 20
_NEVER_BYTES = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tell whether the C library took it; any other than glibc is left as it is.

    Else each tensor of a few megabytes is mapped, zeroed page by page and given back: 80,000 page faults a
    segment of HTDemucs. One arena, because memory freed in one thread's cannot be had by another's; a thread
    that has one already keeps it.
    """
    mallopt = _from_glibc("mallopt")
    if mallopt is None:
        return False
    settings = {
        _MMAP_THRESHOLD: _LARGEST_IN_THE_HEAP_BYTES,
        _TRIM_THRESHOLD: _NEVER_BYTES,
        _TOP_PAD: _TOP_PAD_BYTES,
        _ARENA_MAX: 1,
    }
    taken = [mallopt(name, value) == 1 for name, value in settings.items()]
    return all(taken)


def give_back_freed_memory() -> None:
    """What loading a model freed lies in pieces that few tensors fit into; it would stay for ever."""
    trim = _from_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _from_glibc(name: str) -> Any:
    """Return the function, or None where the C library is another."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), name, None)
