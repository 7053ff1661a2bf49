"""Somebody who takes callbacks, well or badly."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


@dataclass(frozen=True)
class Received:
    body: bytes
    headers: dict[str, str]
    at: float


#: Answers one POST; the default says 200.
Answer = Callable[[BaseHTTPRequestHandler], None]


def status(code: int, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def silence(request: BaseHTTPRequestHandler) -> None:
    time.sleep(60)


def drip(request: BaseHTTPRequestHandler) -> None:
    """A little each second: each read succeeds, and what has come looks like an answer."""
    for piece in [b"HTTP/1.1 200 OK", b"\r\nX-Drip: ", *[b"a"] * 1000]:
        request.wfile.write(piece)
        request.wfile.flush()
        time.sleep(1)


@dataclass
class Receiver:
    """Answers in turn with `answers`, then with the last of them, as often as asked."""

    answers: list[Answer] = field(default_factory=lambda: [status(200)])
    received: list[Received] = field(default_factory=list)
    #: Bytes of answers that were sent before the other side had enough.
    sent_bytes: int = 0

    def __enter__(self) -> Self:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.received.append(Received(body, headers, time.monotonic()))
                index = min(len(outer.received), len(outer.answers)) - 1
                try:
                    outer.answers[index](self)
                except OSError:
                    self.close_connection = True

            def do_GET(self) -> None:
                raise AssertionError("a redirect was followed")

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    @property
    def bodies(self) -> list[bytes]:
        return [each.body for each in self.received]

    def flood(self, request: BaseHTTPRequestHandler) -> None:
        """A gigabyte, if anybody reads it."""
        request.send_response(200)
        request.send_header("Content-Length", str(2**30))
        request.end_headers()
        for _ in range(2**14):
            request.wfile.write(bytes(2**16))
            self.sent_bytes += 2**16
