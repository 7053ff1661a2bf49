"""Receive the body of a request into a file: within its size, at a minimum rate, within the disk budget."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from msaas.errors import TooBusy, UploadTooSlow
from msaas_rest.http.body import too_large
from msaas_rest.http.disk_budget import DiskBudget, Upload

Receive = Callable[[], Awaitable[dict[str, Any]]]

#: Counted and written at once. This much of each upload is in memory.
_STEP_BYTES = 128 * 1024


class ClientGone(Exception):
    """The client closed the connection."""


@dataclass(frozen=True, kw_only=True)
class ReceivingPolicy:
    """A body of n bytes has `grace_s + n / min_bytes_per_s` seconds, and at most `max_s`.

    Its bytes never pause for longer than `stalled_s`. A step waits up to `wait_s` for room on the disk.
    """

    grace_s: float = 20.0
    min_bytes_per_s: float = 16 * 1024
    max_s: float = 3600.0
    stalled_s: float = 60.0
    wait_s: float = 30.0


class BodyReceiver:
    """Receives the body of one request. `expected_bytes` is its announced size, None if it is chunked."""

    def __init__(
        self, receive: Receive, *, expected_bytes: int | None, budget: DiskBudget, policy: ReceivingPolicy
    ) -> None:
        self._receive = receive
        self._expected_bytes = expected_bytes
        self._budget = budget
        self._policy = policy
        self._loop = asyncio.get_running_loop()
        self._received_bytes = 0
        self._started = self._loop.time()

    @asynccontextmanager
    async def open_file(self, *, max_bytes: int, copies: int, client: str) -> AsyncIterator[BinaryIO]:
        """Yield the file of the body. It is closed, and its bytes are free, when the context ends.

        Raises:
            SongTooLarge, UploadTooSlow, TooBusy: a limit is reached.
            ClientGone: the client closed the connection.
        """
        expected_bytes = max_bytes if self._expected_bytes is None else self._expected_bytes
        with (
            self._budget.admit(client=client, expected_bytes=copies * expected_bytes) as upload,
            TemporaryFile() as file,
        ):
            await self._copy(file, upload, max_bytes=max_bytes, copies=copies)
            yield file

    async def _copy(self, file: BinaryIO, upload: Upload, *, max_bytes: int, copies: int) -> None:
        """Count and write the body in steps: a client may send it byte by byte."""
        step: list[bytes] = []
        step_bytes = 0
        async for chunk in self._chunks(upload):
            step.append(chunk)
            step_bytes += len(chunk)
            if self._received_bytes > max_bytes:
                raise too_large(max_bytes)
            if step_bytes >= _STEP_BYTES:
                await self._write(file, upload, step, size_bytes=copies * step_bytes)
                step, step_bytes = [], 0
        await self._write(file, upload, step, size_bytes=copies * step_bytes)

    async def _write(self, file: BinaryIO, upload: Upload, step: list[bytes], *, size_bytes: int) -> None:
        await self._take(upload, size_bytes)
        await asyncio.to_thread(file.writelines, step)

    async def _take(self, upload: Upload, size_bytes: int) -> None:
        """The time in which this service makes the client wait does not count as the client's."""
        before = self._loop.time()
        try:
            async with asyncio.timeout(self._policy.wait_s):
                await self._budget.take(upload, size_bytes)
        except TimeoutError:
            raise TooBusy("Too many uploads are in progress. Try again later.") from None
        self._started += self._loop.time() - before

    async def _chunks(self, upload: Upload) -> AsyncIterator[bytes]:
        more = True
        while more:
            try:
                message = await self._next(upload)
            except TimeoutError:
                raise UploadTooSlow(f"The body took too long: {self._received_bytes} bytes came.") from None
            if message["type"] == "http.disconnect":
                raise ClientGone
            more, body = message.get("more_body", False), message.get("body", b"")
            self._received_bytes += len(body)
            yield body

    async def _next(self, upload: Upload) -> dict[str, Any]:
        """Return the next message. Raises `TimeoutError`, also when the upload has to end."""
        async with asyncio.timeout_at(self._deadline()) as limit:
            upload.end = lambda: limit.reschedule(self._loop.time())
            try:
                return await self._receive()
            finally:
                upload.end = None

    def _deadline(self) -> float:
        policy = self._policy
        earned_s = policy.grace_s + self._received_bytes / policy.min_bytes_per_s
        return min(self._started + min(earned_s, policy.max_s), self._loop.time() + policy.stalled_s)
