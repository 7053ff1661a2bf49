"""Mapped files: their pages count as memory of this process once they are read, until they are released."""

from mmap import MADV_DONTNEED, mmap

#: Pages are released in such steps.
STEP_BYTES = 8 * 1024 * 1024


def release_pages(data: bytes | mmap, start: int, *, end: int) -> int:
    """Release the pages from `start` on, in whole steps before `end`. Return the start of the rest.

    Bytes have no pages to release.
    """
    while isinstance(data, mmap) and start + STEP_BYTES <= min(end, len(data)):
        data.madvise(MADV_DONTNEED, start, STEP_BYTES)
        start += STEP_BYTES
    return start
