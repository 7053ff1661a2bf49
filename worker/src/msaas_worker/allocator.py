"""Settings of glibc's allocator: memory freed by a segment is kept for the next one, except large blocks."""

import ctypes
import sys
from typing import Any

#: From glibc's malloc.h. They apply to the whole process.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8
_TOP_PAD_BYTES = 64 << 20
#: A map of the outermost level in float32 has 31 MiB, and few gaps of the heap are as large. Blocks above
#: this limit are mapped, at no cost that can be measured. With a limit of 12 MiB a segment takes 14 % longer
#: in float32 (docs/measurements/performance.md).
_LARGEST_IN_THE_HEAP_BYTES = 24 << 20
_NEVER_BYTES = 2**31 - 1


def keep_freed_memory() -> bool:
    """Keep freed memory in the heap, in one arena. Return whether the C library is glibc and accepted this.

    By default each tensor of a few megabytes is mapped, zeroed page by page and unmapped: 80,000 page faults
    for a segment of HTDemucs. There is one arena, because a thread cannot use the free memory of another
    arena. Call this before threads start, because a thread keeps its arena.
    """
    mallopt = _find_in_glibc("mallopt")
    if mallopt is None:
        return False
    settings = {
        _MMAP_THRESHOLD: _LARGEST_IN_THE_HEAP_BYTES,
        _TRIM_THRESHOLD: _NEVER_BYTES,
        _TOP_PAD: _TOP_PAD_BYTES,
        _ARENA_MAX: 1,
    }
    accepted = [mallopt(name, value) == 1 for name, value in settings.items()]
    return all(accepted)


def return_freed_memory() -> None:
    """Return freed memory to the system. After loading a model it is too fragmented for further tensors."""
    trim = _find_in_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _find_in_glibc(name: str) -> Any:
    """Return the function, None on other systems or with another C library."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), name, None)
