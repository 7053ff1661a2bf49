"""The memory of answers that clients have not read yet."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from msaas.logs import get_logger

#: The transport and the next chunk, beside the chunk that is sent. Measured by T2 of `docs/reliability.md`.
_BUFFER_BYTES = 128 * 1024

log = get_logger()


@dataclass(frozen=True, eq=False)
class _Chunk:
    size_bytes: int
    abort: Callable[[], None]


@dataclass(kw_only=True)
class UnreadChunks:
    """The chunks of long answers that wait for their clients. Used in the event loop only.

    Past `max_bytes` in all, the connection ends whose client has read nothing for the longest time.
    """

    max_bytes: int = 256 * 1024 * 1024
    #: The one that has waited for the longest time comes first.
    _chunks: dict[_Chunk, None] = field(default_factory=dict)
    _sum_bytes: int = 0

    @contextmanager
    def hold(self, size_bytes: int, *, abort: Callable[[], None]) -> Iterator[None]:
        """Count a chunk of this size while a part of it is sent. `abort` ends its connection."""
        chunk = _Chunk(size_bytes + _BUFFER_BYTES, abort)
        self._chunks[chunk] = None
        self._sum_bytes += chunk.size_bytes
        while self._sum_bytes > self.max_bytes and len(self._chunks) > 1:
            self._end_first()
        try:
            yield
        finally:
            self._drop(chunk)

    def _end_first(self) -> None:
        first = next(iter(self._chunks))
        self._drop(first)
        log.info("unread_answer_ended", size_bytes=first.size_bytes)
        first.abort()

    def _drop(self, chunk: _Chunk) -> None:
        if chunk in self._chunks:
            del self._chunks[chunk]
            self._sum_bytes -= chunk.size_bytes
