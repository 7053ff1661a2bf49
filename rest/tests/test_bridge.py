"""The bridge from ASGI to WSGI, with apps that misbehave."""

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from msaas_rest.http.body import BODY
from msaas_rest.http.bridge import Bridge, WsgiApp
from msaas_rest.http.disk_budget import DiskBudget
from msaas_rest.http.protocol import ABORT


def run(
    app: WsgiApp,
    *,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    body: bytes = b"",
    fails_at: str = "",
    leaves_after_s: float = 60.0,
) -> list[dict[str, Any]]:
    """Send one request, and return the messages of its answer."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/x",
        "raw_path": b"/x",
        "query_string": b"",
        "http_version": "1.1",
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "headers": [(b"host", b"localhost"), *headers],
        ABORT: lambda: None,
    }
    sent: list[dict[str, Any]] = []
    received = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        if message := next(received, None):
            return message
        await asyncio.sleep(leaves_after_s)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == fails_at:
            raise ConnectionError
        sent.append(message)

    asyncio.run(Bridge(app, budget=DiskBudget(10**9))(scope, receive, send))
    return sent


def answering(chunks: Iterable[bytes], *, length: int | None = None) -> WsgiApp:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [] if length is None else [("Content-Length", str(length))])
        return chunks

    return app


def test_error_that_the_app_does_not_present_is_a_problem() -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        raise RuntimeError("secret")

    start, body = run(app)
    assert start["status"] == 500
    assert dict(start["headers"])[b"content-type"] == b"application/problem+json"
    assert json.loads(body["body"])["status"] == 500
    assert b"secret" not in body["body"]


@pytest.mark.parametrize("length", [6, None, 10**6])
def test_answer_is_sent_whole(length: int | None) -> None:
    start, *bodies = run(answering([b"abc", b"", b"def"], length=length))
    assert start["status"] == 200
    assert b"".join(each.get("body", b"") for each in bodies) == b"abcdef"
    assert [each.get("more_body", False) for each in bodies][-1] is False


def test_answer_is_closed_when_it_fails() -> None:
    closed = []

    class Chunks:
        def __iter__(self) -> Iterator[bytes]:
            yield b"a"
            raise OSError("cut")

        def close(self) -> None:
            closed.append(True)

    with pytest.raises(OSError, match="cut"):
        run(answering(Chunks(), length=10**6))
    assert closed == [True]


def test_answer_is_not_closed_while_a_thread_reads_it() -> None:
    """Its client leaves while the second chunk is read."""
    events: list[str] = []

    class Chunks:
        def __iter__(self) -> Iterator[bytes]:
            yield b"a"
            time.sleep(0.3)
            events.append("read")
            yield b"b"

        def close(self) -> None:
            events.append("closed")

    run(answering(Chunks(), length=10**6), leaves_after_s=0.1)
    assert events == ["read", "closed"]


def test_body_is_received_when_the_app_opens_it() -> None:
    seen = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        seen.append(environ["REMOTE_ADDR"])
        body = environ[BODY].open(100, copies=1, client="ann").read()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    start, body = run(app, body=b"a song")
    assert (start["status"], body["body"]) == (200, b"a song")
    assert len(seen) == 2


def test_header_with_an_underscore_is_left_out() -> None:
    seen: dict[str, str] = {}

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        seen.update(environ)
        start_response("204 No Content", [("Content-Length", "0")])
        return []

    run(app, headers=((b"x_real", b"1"), (b"x-twice", b"1"), (b"x-twice", b"2"), (b"script_name", b"/x")))
    assert "HTTP_X_REAL" not in seen
    assert seen["HTTP_X_TWICE"] == "1,2"
    assert seen["SCRIPT_NAME"] == ""


def test_answer_is_closed_when_its_client_has_left_before_its_head() -> None:
    closed: list[bool] = []

    class Chunks:
        def __iter__(self) -> Iterator[bytes]:
            yield b"x"

        def close(self) -> None:
            closed.append(True)

    with pytest.raises(ConnectionError):
        run(answering(Chunks()), fails_at="http.response.start")
    assert closed == [True]
