"""Disk budget: the bytes that all uploads hold together stay below a limit, with a share for each client."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from msaas.logs import get_logger

#: The part of the budget that one client may hold.
SHARE = 0.5

log = get_logger()


@dataclass(frozen=True, kw_only=True)
class YieldPolicy:
    """An upload that finds no room for `patience_s` ends the slowest other one in its way.

    That one has brought less than `min_bytes_per_s` for `window_s` or more. `look_s` lies between two looks.
    """

    patience_s: float = 5.0
    window_s: float = 10.0
    min_bytes_per_s: float = 64 * 1024
    look_s: float = 1.0


@dataclass(eq=False)
class Upload:
    """An upload in progress. `expected_bytes` is the most that it can need."""

    client: str
    expected_bytes: int
    taken_bytes: int = 0
    #: Ends the upload. None while it waits for this service.
    end: Callable[[], None] | None = None
    #: Bytes of this window of time, and of the one before.
    _window: int = 0
    _bytes: tuple[float, float] = (float("inf"), 0)

    @property
    def missing_bytes(self) -> int:
        return max(0, self.expected_bytes - self.taken_bytes)

    def count(self, size_bytes: int, *, window: int) -> None:
        """Count bytes that came in a window of time."""
        self._turn(window)
        self._bytes = (self._bytes[0], self._bytes[1] + size_bytes)

    def recent_bytes(self, *, window: int) -> float:
        """Return the bytes of this window and the one before. A new upload has no slow window yet."""
        self._turn(window)
        return sum(self._bytes)

    def _turn(self, window: int) -> None:
        if window != self._window:
            before = self._bytes[1] if window == self._window + 1 else 0
            self._bytes = (before if self._window else float("inf"), 0)
            self._window = window


class DiskBudget:
    """Counts the bytes of the uploads in progress. Use it in one event loop.

    Bytes count as they arrive: announced ones would let idle clients reserve everything. An upload that finds
    no room waits until others end. By the banker's algorithm (Dijkstra, EWD 623) some upload can always end,
    so that uploads never wait for each other.
    """

    def __init__(self, limit_bytes: int, *, policy: YieldPolicy = YieldPolicy()) -> None:
        self._limit_bytes = limit_bytes
        self._policy = policy
        self._uploads: list[Upload] = []
        self._room = asyncio.Event()

    @property
    def taken_bytes(self) -> int:
        return sum(upload.taken_bytes for upload in self._uploads)

    @property
    def uploads(self) -> int:
        """The number of uploads in progress."""
        return len(self._uploads)

    @property
    def share_bytes(self) -> int:
        """The most that one client may hold."""
        return int(self._limit_bytes * SHARE)

    @contextmanager
    def admit(self, *, client: str, expected_bytes: int) -> Iterator[Upload]:
        """Yield an upload, whose bytes are free again when the context ends."""
        upload = Upload(client, expected_bytes)
        self._uploads.append(upload)
        try:
            yield upload
        finally:
            self._uploads.remove(upload)
            # Waiting uploads look again.
            self._room.set()
            self._room = asyncio.Event()

    async def take(self, upload: Upload, size_bytes: int) -> None:
        """Count bytes that arrived. Wait until there is room for them."""
        began = time.monotonic()
        while not self._fits(upload, size_bytes):
            with suppress(TimeoutError):
                async with asyncio.timeout(self._policy.look_s):
                    await self._room.wait()
                    continue
            if time.monotonic() - began > self._policy.patience_s:
                self._end_slowest(upload, size_bytes)
        upload.taken_bytes += size_bytes
        upload.count(size_bytes, window=self._window)

    @property
    def _window(self) -> int:
        return int(time.monotonic() / self._policy.window_s) + 1

    def _end_slowest(self, upload: Upload, size_bytes: int) -> None:
        """End the slowest upload whose client is in the way, if it is slow enough."""
        with self._counted(upload, size_bytes):
            others = self._uploads if self._fits_share(upload) else self._same_client(upload)
        window = self._window
        slowest = min(
            (each for each in others if each is not upload and each.end),
            key=lambda each: each.recent_bytes(window=window),
            default=None,
        )
        most = self._policy.min_bytes_per_s * self._policy.window_s
        if slowest and slowest.end and slowest.recent_bytes(window=window) < most:
            log.info("slow_upload_ended", size_bytes=slowest.taken_bytes)
            slowest.end()

    def _fits(self, upload: Upload, size_bytes: int) -> bool:
        with self._counted(upload, size_bytes):
            return _can_all_end(self._uploads, self._limit_bytes) and self._fits_share(upload)

    def _fits_share(self, upload: Upload) -> bool:
        return _can_all_end(self._same_client(upload), self.share_bytes)

    def _same_client(self, upload: Upload) -> list[Upload]:
        return [each for each in self._uploads if each.client == upload.client]

    @contextmanager
    def _counted(self, upload: Upload, size_bytes: int) -> Iterator[None]:
        upload.taken_bytes += size_bytes
        try:
            yield
        finally:
            upload.taken_bytes -= size_bytes


def _can_all_end(uploads: Sequence[Upload], limit_bytes: int) -> bool:
    """Return whether there is an order in which each upload finds room for its missing bytes."""
    if sum(upload.expected_bytes for upload in uploads) <= limit_bytes:
        return True
    uploads = sorted(uploads, key=lambda upload: upload.missing_bytes)
    free_bytes = limit_bytes - sum(upload.taken_bytes for upload in uploads)
    for upload in uploads:
        if upload.missing_bytes > free_bytes:
            return False
        free_bytes += upload.taken_bytes
    return free_bytes >= 0
