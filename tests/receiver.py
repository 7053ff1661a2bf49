"""A receiver of callbacks that answers as a test wants."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

#: Longer than any attempt.
_SILENT_S = 60.0


@dataclass(frozen=True)
class Received:
    """A POST. Names of headers are in lower case, `at` is monotonic time in s."""

    body: bytes
    headers: dict[str, str]
    at: float


#: Answers one POST.
Answer = Callable[[BaseHTTPRequestHandler], None]


def status(code: int, **headers: str) -> Answer:
    """Return an answer with this status and no body."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def silence(request: BaseHTTPRequestHandler) -> None:
    time.sleep(_SILENT_S)


def drip(request: BaseHTTPRequestHandler) -> None:
    """Send a byte every 0.2 s: each read succeeds, and the first ones look like an answer."""
    for chunk in [b"HTTP/1.1 200 OK", b"\r\nX-Drip: ", *[b"a"] * 1000]:
        request.wfile.write(chunk)
        request.wfile.flush()
        time.sleep(0.2)


@dataclass
class Receiver:
    """Answers in turn with `answers`, then always with the last of them."""

    answers: list[Answer] = field(default_factory=lambda: [status(200)])
    received: list[Received] = field(default_factory=list)
    #: Bytes of answers that were sent before the sender closed the connection.
    sent_bytes: int = 0
    #: Answers that are complete, or whose connection the sender closed.
    ended: int = 0

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
                finally:
                    outer.ended += 1

            def do_GET(self) -> None:
                raise AssertionError("a redirect was followed")

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        serve = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        serve.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/hook"

    @property
    def bodies(self) -> list[bytes]:
        return [each.body for each in self.received]

    def flood(self, request: BaseHTTPRequestHandler) -> None:
        """Send 1 GiB, as far as the sender reads it."""
        request.send_response(200)
        request.send_header("Content-Length", str(2**30))
        request.end_headers()
        for _ in range(2**14):
            request.wfile.write(bytes(2**16))
            self.sent_bytes += 2**16
