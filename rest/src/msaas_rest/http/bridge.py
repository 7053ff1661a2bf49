"""Run the app, which is a WSGI app, behind an ASGI server: no thread waits for a client.

The event loop receives bodies and sends answers at the pace of the client. Threads run the app and read the
chunks of an answer, and are free in between.
"""

import asyncio
import io
import re
import sys
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

from msaas.errors import MsaasError
from msaas.logs import get_logger
from msaas_rest.http.body import BODY, BodyWanted, FailedBody, ReceivedBody, UnreceivedBody
from msaas_rest.http.disk_budget import DiskBudget
from msaas_rest.http.fetched import FETCHED, FailedFetch, FetchedFile, FetchWanted
from msaas_rest.http.fetching import Fetcher
from msaas_rest.http.origin_checks import SECURITY_HEADERS
from msaas_rest.http.problems import PROBLEM_TYPE, problem_json
from msaas_rest.http.protocol import ABORT, ENDED
from msaas_rest.http.receiving import BodyReceiver, ClientGone, Receive, ReceivingPolicy
from msaas_rest.http.unread import UnreadChunks

T = TypeVar("T")
Send = Callable[[dict[str, Any]], Awaitable[None]]
Chunks = Iterator[bytes] | AsyncIterable[bytes]
WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

#: Threads that run the app. It waits for Redis and the store only.
_THREADS = 32
#: Threads that store songs, which takes as long as the store needs.
_UPLOAD_THREADS = 32
#: Threads for probes, which must be answered while all others wait.
_PROBE_THREADS = 4
_PROBES = {"/healthz", "/readyz", "/metrics"}
#: An answer of this size is read at once.
_SHORT_BYTES = 64 * 1024
#: A target with its scheme, as clients send it to proxies: its authority and its path.
_ABSOLUTE_TARGET = re.compile(rb"https?://([^/]*)(/.*)?", flags=re.IGNORECASE | re.DOTALL)

log = get_logger()


def _do_nothing() -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer of the app. Chunks of an `Iterator` are read in threads, one after the other.

    Those of an `AsyncIterable` are read in the event loop: it waits for them without a thread.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes | Chunks
    close: Callable[[], None] = _do_nothing

    @property
    def is_short(self) -> bool:
        length = dict(self.headers).get(b"content-length")
        return length is not None and int(length) <= _SHORT_BYTES


class Bridge:
    """An ASGI app that runs a WSGI app."""

    def __init__(
        self,
        app: WsgiApp,
        *,
        budget: DiskBudget,
        policy: ReceivingPolicy = ReceivingPolicy(),
        fetcher: Fetcher | None = None,
    ) -> None:
        self._app = app
        self._fetcher = fetcher or Fetcher(budget=budget)
        self._budget = budget
        self._policy = policy
        self._unread = UnreadChunks()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="request")
        self._upload_threads = ThreadPoolExecutor(_UPLOAD_THREADS, thread_name_prefix="upload")
        self._probe_threads = ThreadPoolExecutor(_PROBE_THREADS, thread_name_prefix="probe")

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        try:
            answer = await self._answer_or_problem(scope, receive)
            start = {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
            if isinstance(answer.body, bytes):
                await send(start)
                await send({"type": "http.response.body", "body": answer.body})
                return
            try:
                await send(start)
                await self._send_chunks(answer.body, scope, receive, send)
            finally:
                await asyncio.get_running_loop().run_in_executor(self._threads, answer.close)
        except ClientGone:
            log.debug("client_disconnected")

    async def _send_chunks(self, chunks: Chunks, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        hold = partial(self._unread.hold, abort=scope[ABORT])
        sender = Sender(send=send, threads=self._threads, hold=hold)
        # Events have no end that a client could await after it has closed its side.
        has_end = not isinstance(chunks, AsyncIterable)
        left = _until_gone(receive) if has_end else _until_left(scope, receive)
        await _run_until(left, sender.send_all(chunks))

    async def _answer_or_problem(self, scope: dict[str, Any], receive: Receive) -> Answer:
        """Answer 500 for an error that the app does not present itself."""
        try:
            return await self._answer(scope, receive)
        except ClientGone:
            raise
        except Exception as error:
            log.error("request_crashed", path=scope["path"], exc_info=error)
            return _internal_error()

    async def _answer(self, scope: dict[str, Any], receive: Receive) -> Answer:
        environ = environ_of(scope)
        threads = self._probe_threads if scope["path"] in _PROBES else self._threads
        async with AsyncExitStack() as stack:
            while True:
                try:
                    return await self._run(environ, threads)
                except BodyWanted as wanted:
                    environ[BODY] = await self._receive_body(environ, receive, wanted, stack)
                except FetchWanted as wanted:
                    environ[FETCHED] = await self._fetch(wanted, scope, receive, stack)
                threads = self._upload_threads

    async def _receive_body(
        self, environ: dict[str, Any], receive: Receive, wanted: BodyWanted, stack: AsyncExitStack
    ) -> ReceivedBody | FailedBody:
        length = environ.get("CONTENT_LENGTH")
        receiver = BodyReceiver(
            receive,
            expected_bytes=None if length is None else int(length),
            budget=self._budget,
            policy=self._policy,
        )
        try:
            file = await stack.enter_async_context(
                receiver.open_file(max_bytes=wanted.max_bytes, copies=wanted.copies, client=wanted.client)
            )
        except (MsaasError, OSError) as error:
            return FailedBody(error)
        return ReceivedBody(file)

    async def _fetch(
        self, wanted: FetchWanted, scope: dict[str, Any], receive: Receive, stack: AsyncExitStack
    ) -> FetchedFile | FailedFetch:
        fetching = stack.enter_async_context(self._fetcher.open_file(wanted))
        try:
            if wanted.outlives_client:
                return FetchedFile(await fetching)
            return FetchedFile(await _run_until(_until_left(scope, receive), fetching))
        except (MsaasError, OSError) as error:
            return FailedFetch(error)

    async def _run(self, environ: dict[str, Any], threads: Executor) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(threads, _run_app, self._app, environ)


def environ_of(scope: dict[str, Any]) -> dict[str, Any]:
    """Return the WSGI environment of an ASGI scope (PEP 3333, ASGI 3.0)."""
    client, server = scope.get("client") or ("", 0), scope.get("server") or ("", 0)
    # The authority of a target replaces that of the header (RFC 9112, section 3.2.2).
    whole = _ABSOLUTE_TARGET.fullmatch(scope["raw_path"])
    authority = {"HTTP_HOST": whole[1].decode("latin-1")} if whole else {}
    path = whole[2] or b"/" if whole else scope["raw_path"]
    environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "REMOTE_ADDR": client[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        BODY: UnreceivedBody(),
    }
    return environ | _header_variables(scope["headers"]) | authority


def _header_variables(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    variables: dict[str, str] = {}
    for raw_name, raw_value in headers:
        # `X_Name` and `X-Name` would be one variable.
        if b"_" in raw_name:
            continue
        name = raw_name.decode("latin-1").upper().replace("-", "_")
        name = name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"
        value = raw_value.decode("latin-1")
        separator = "; " if name == "HTTP_COOKIE" else ","
        variables[name] = f"{variables[name]}{separator}{value}" if name in variables else value
    return variables


def _run_app(app: WsgiApp, environ: dict[str, Any]) -> Answer:
    """Run the app, and read a short answer whole."""
    started: list[Any] = []
    result = app(environ, lambda status, headers, exc_info=None: started.extend((status, headers)))
    status, headers = started
    answer = Answer(
        status=int(status.partition(" ")[0]),
        headers=[(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
        body=result if isinstance(result, AsyncIterable) else iter(result),
        close=getattr(result, "close", _do_nothing),
    )
    if isinstance(result, AsyncIterable) or not answer.is_short:
        return answer
    try:
        return replace(answer, body=b"".join(result))
    finally:
        answer.close()


def _internal_error() -> Answer:
    status, detail = HTTPStatus.INTERNAL_SERVER_ERROR, "The service failed. Its log has the cause."
    body = problem_json(
        status, kind="about:blank", title=status.phrase, detail=detail, instance="", reason=detail
    ).encode()
    headers = {"Content-Type": PROBLEM_TYPE, "Content-Length": str(len(body)), **SECURITY_HEADERS}
    return Answer(
        status=status.value,
        headers=[(name.lower().encode(), value.encode()) for name, value in headers.items()],
        body=body,
    )


async def _run_until(leaving: Coroutine[Any, Any, None], work: Coroutine[Any, Any, T]) -> T:
    """Return the result of `work`, which is cancelled when `leaving` ends before. Raises `ClientGone`."""
    working, gone = asyncio.ensure_future(work), asyncio.ensure_future(leaving)
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        gone.cancel()
        working.cancel()
        await asyncio.wait([working])


@dataclass(frozen=True, kw_only=True)
class Sender:
    """Sends chunks at the pace of the client. `hold` counts each while it is sent."""

    send: Send
    threads: Executor
    hold: Callable[[int], AbstractContextManager[None]]

    async def send_all(self, chunks: Chunks) -> None:
        async for chunk in chunks if isinstance(chunks, AsyncIterable) else self._read(chunks):
            await self._send_chunk(chunk)
        await self.send({"type": "http.response.body"})

    async def _read(self, chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        while True:
            reading = loop.run_in_executor(self.threads, next, chunks, None)
            try:
                chunk = await asyncio.shield(reading)
            finally:
                # The answer must not be closed while a thread reads it.
                await asyncio.wait([reading])
            if chunk is None:
                return
            yield chunk

    async def _send_chunk(self, chunk: bytes) -> None:
        for start in range(0, len(chunk), _SHORT_BYTES):
            part = chunk[start : start + _SHORT_BYTES]
            with self.hold(len(chunk)):
                await self.send({"type": "http.response.body", "body": part, "more_body": True})
                # An empty message waits until the client has read most of the part.
                await self.send({"type": "http.response.body", "more_body": True})


async def _until_left(scope: dict[str, Any], receive: Receive) -> None:
    """Return when the client closes the connection, or its side of it.

    Both look the same until something is sent.
    """
    waits = {asyncio.ensure_future(_until_gone(receive)), asyncio.ensure_future(scope[ENDED].wait())}
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waits:
            each.cancel()


async def _until_gone(receive: Receive) -> None:
    """Return when the client closes the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
