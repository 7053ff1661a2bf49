"""Fetch the URL of a request into a file, in a thread of its own: a few at once, within the disk budget."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from tempfile import TemporaryFile
from typing import BinaryIO
from urllib.parse import urlsplit

from msaas.errors import TooBusy
from msaas.logs import get_logger
from msaas_rest.http.disk_budget import DiskBudget, Upload
from msaas_rest.http.fetched import FetchWanted
from msaas_rest.http.url_fetch import FetchPolicy, UrlFetch

#: Fetches at once. One client has half of them.
_FETCHES = 16
_SHARE = _FETCHES // 2
#: A step of a fetch waits this long for room on the disk.
_WAIT_S = 30.0

log = get_logger()


class Fetcher:
    """Fetches URLs. Use it in one event loop."""

    def __init__(self, *, budget: DiskBudget, policy: FetchPolicy = FetchPolicy()) -> None:
        self._budget = budget
        self._policy = policy
        self._threads = ThreadPoolExecutor(_FETCHES, thread_name_prefix="fetch")
        self._running: Counter[str] = Counter()

    @asynccontextmanager
    async def open_file(self, wanted: FetchWanted) -> AsyncIterator[BinaryIO]:
        """Yield the file of the URL. It is closed, and its bytes are free, when the context ends.

        A cancellation stops the fetch.

        Raises:
            UrlRefused, UrlUnreachable, SongTooLarge: as `UrlFetch.run` does.
            TooBusy: too many fetches are in progress, or the disk has no room.
        """
        with (
            self._budget.admit(client=wanted.client, expected_bytes=wanted.max_bytes) as upload,
            TemporaryFile() as file,
        ):
            with self._slot(wanted.client):
                await self._fetch(wanted, file, upload)
            yield file

    @contextmanager
    def _slot(self, client: str) -> Iterator[None]:
        if self._running.total() >= _FETCHES or self._running[client] >= _SHARE:
            raise TooBusy("Too many songs are being fetched from URLs. Try again later, or send the file.")
        self._running[client] += 1
        try:
            yield
        finally:
            self._running[client] -= 1
            self._running += Counter()

    async def _fetch(self, wanted: FetchWanted, file: BinaryIO, upload: Upload) -> None:
        loop = asyncio.get_running_loop()
        taking: Future[None] = Future()

        def write(step: bytes) -> None:
            nonlocal taking
            taking = asyncio.run_coroutine_threadsafe(self._take(upload, len(step)), loop)
            taking.result()
            file.write(step)

        fetch = UrlFetch(
            policy=self._policy,
            max_bytes=wanted.max_bytes,
            on_size=partial(setattr, upload, "expected_bytes"),
            write=write,
        )
        running = loop.run_in_executor(self._threads, fetch.run, wanted.url)
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            fetch.stop()
            taking.cancel()
            # The thread writes to the file until it ends.
            await asyncio.gather(running, return_exceptions=True)
            log.info("url_fetch_cancelled", host=_host_of(wanted.url))
            raise
        log.info("url_fetched", size_bytes=running.result(), host=_host_of(wanted.url))

    async def _take(self, upload: Upload, size_bytes: int) -> None:
        try:
            async with asyncio.timeout(_WAIT_S):
                await self._budget.take(upload, size_bytes)
        except TimeoutError:
            raise TooBusy("Too many uploads are in progress. Try again later.") from None


def _host_of(url: str) -> str | None:
    """Return the host for the log, None for a malformed URL."""
    with suppress(ValueError):
        return urlsplit(url).hostname
    return None
