"""Log files with a limit: the end of a file that is too large moves to `<name>.1`, older ends to `<name>.2`.

Processes hold their file open in append mode, so it is copied and truncated, not renamed. They never wait for
the supervisor, also while it is stopped. Lines that are written between copy and truncation are lost.
"""

import os
from contextlib import suppress
from pathlib import Path

MAX_BYTES = 10 * 1024 * 1024


def rotate(log: Path, *, max_bytes: int = MAX_BYTES) -> None:
    """Rotate a file above `max_bytes`. A missing file and a full disk are ignored."""
    with suppress(OSError):
        size_bytes = log.stat().st_size
        if size_bytes > max_bytes:
            with suppress(OSError):
                _copy(log, offset=size_bytes - max_bytes, size_bytes=max_bytes)
            os.truncate(log, 0)


def remove(log: Path) -> None:
    """Delete a file and its copies."""
    for file in (log, *_copies(log)):
        file.unlink(missing_ok=True)


def _copies(file: Path) -> tuple[Path, Path]:
    return file.with_name(f"{file.name}.1"), file.with_name(f"{file.name}.2")


def _copy(log: Path, *, offset: int, size_bytes: int) -> None:
    first, second = _copies(log)
    with suppress(FileNotFoundError):
        first.replace(second)
    with open(log, "rb") as source, open(first, "wb") as copy:
        source.seek(offset)
        copy.write(source.read(size_bytes))
