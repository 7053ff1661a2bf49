"""Disk budget: the bytes that all uploads hold together stay below a limit, with a share for each client."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

#: The part of the budget that one client may hold.
SHARE = 0.5


@dataclass(eq=False)
class Upload:
    """An upload in progress. `expected_bytes` is the most that it can need."""

    client: str
    expected_bytes: int
    taken_bytes: int = 0

    @property
    def missing_bytes(self) -> int:
        return max(0, self.expected_bytes - self.taken_bytes)


class DiskBudget:
    """Counts the bytes of the uploads in progress. Use it in one event loop.

    Bytes count as they arrive: announced ones would let idle clients reserve everything. An upload that finds
    no room waits until others end. By the banker's algorithm (Dijkstra, EWD 623) some upload can always end,
    so that uploads never wait for each other.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
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
        while not self._fits(upload, size_bytes):
            await self._room.wait()
        upload.taken_bytes += size_bytes

    def _fits(self, upload: Upload, size_bytes: int) -> bool:
        upload.taken_bytes += size_bytes
        try:
            same_client = [each for each in self._uploads if each.client == upload.client]
            return _can_all_end(self._uploads, self._limit_bytes) and _can_all_end(
                same_client, self.share_bytes
            )
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
