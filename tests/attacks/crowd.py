"""Crowds of clients that misbehave, on loopback and bounded in number and time, and the waits of others."""

import asyncio
import random
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

_HOST = "127.0.0.1"
_UPLOAD = (
    b"POST /apiv1/separate HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: audio/mpeg\r\nContent-Length: 1000000\r\n\r\n"
)
_PROBE = b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
#: A request that takes longer has failed.
_WAIT_S = 10.0
#: In this time all clients of a crowd arrive.
_ARRIVAL_S = 10.0
#: A measurement ends after this time, with fewer requests.
_MEASURE_S = 60.0


@dataclass(frozen=True)
class Waits:
    """Seconds that requests took, from the connection to the end of the answer."""

    seconds: list[float]
    failed: int

    @property
    def p99_s(self) -> float:
        return statistics.quantiles(self.seconds, n=100)[98]

    def __str__(self) -> str:
        median_ms, p99_ms = 1000 * statistics.median(self.seconds), 1000 * self.p99_s
        return f"median {median_ms:.0f} ms, p99 {p99_ms:.0f} ms, {self.failed}/{len(self.seconds)} failed"


Client = Callable[[int], Awaitable[None]]


async def linger(port: int) -> None:
    """Send whole requests, read nothing, and leave the connection open after the answer."""
    while True:
        _, writer = await asyncio.open_connection(_HOST, port)
        writer.write(_PROBE % b"/healthz")
        await asyncio.sleep(random.uniform(5, 15))
        writer.transport.abort()


async def be_silent(port: int) -> None:
    while True:
        reader, writer = await asyncio.open_connection(_HOST, port)
        with suppress(OSError):
            await reader.read()
        writer.transport.abort()
        await asyncio.sleep(random.uniform(0, 2))


async def trickle(port: int) -> None:
    """Send an upload a byte a second."""
    while True:
        reader, writer = await asyncio.open_connection(_HOST, port)
        writer.write(_UPLOAD)
        with suppress(OSError):
            while not reader.at_eof():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(1)
        writer.transport.abort()
        await asyncio.sleep(random.uniform(0, 2))


@asynccontextmanager
async def crowd(*clients: Client, port: int, each: int) -> AsyncIterator[None]:
    """Run `each` of every client until the context ends. A client that is refused tries again.

    They come over some seconds: a thousand requests at one instant are a queue, whatever they do later.
    """
    tasks = [asyncio.ensure_future(_persist(client, port)) for client in clients for _ in range(each)]
    try:
        if tasks:
            await asyncio.sleep(_ARRIVAL_S + 2)
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _persist(client: Client, port: int) -> None:
    await asyncio.sleep(random.uniform(0, _ARRIVAL_S))
    while True:
        with suppress(OSError):
            await client(port)
        await asyncio.sleep(random.uniform(0, 2))


async def measure(port: int, path: str, *, requests: int, pause_s: float = 0.02) -> Waits:
    """Send requests one after the other, each on a new connection."""
    seconds, failed = [], 0
    deadline = time.monotonic() + _MEASURE_S
    while len(seconds) < requests and (len(seconds) < 2 or time.monotonic() < deadline):
        started = time.monotonic()
        try:
            status = await asyncio.wait_for(_status(port, path), timeout=_WAIT_S)
            failed += status != 200
        except (OSError, ValueError, TimeoutError):
            failed += 1
        seconds.append(time.monotonic() - started)
        await asyncio.sleep(pause_s)
    return Waits(seconds, failed)


async def _status(port: int, path: str) -> int:
    reader, writer = await asyncio.open_connection(_HOST, port)
    try:
        writer.write(_PROBE % path.encode())
        answer = await reader.read()
        return int(answer.split(b" ", 2)[1]) if answer else 0
    finally:
        writer.transport.abort()
