"""Release pages of a mapped file. They count as memory of this process once they are read."""

from mmap import MADV_DONTNEED, mmap

#: Pages are released in such steps.
STEP_BYTES = 8 * 1024 * 1024


def release_pages(data: mmap, start: int, *, end: int) -> int:
    """Release the pages from `start` on, in whole steps before `end`. Return the start of the rest."""
    while start + STEP_BYTES <= min(end, len(data)):
        data.madvise(MADV_DONTNEED, start, STEP_BYTES)
        start += STEP_BYTES
    return start
