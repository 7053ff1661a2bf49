"""A web site with songs, which misbehaves on some of its paths."""

import gzip
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

Answer = Callable[[BaseHTTPRequestHandler], None]


def file(content: bytes, *, status: int = 200, length: int | None = None, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(content) if length is None else length))
        request.end_headers()
        request.wfile.write(content)

    return answer


def redirect(target: str, *, status: int = 302) -> Answer:
    return file(b"", status=status, Location=target)


def compressed(content: bytes) -> Answer:
    return file(gzip.compress(content), Content_Encoding="gzip")


def chunked(content: bytes) -> Answer:
    """Send without an announced size."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        request.wfile.write(content)

    return answer


def endless(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    while True:
        request.wfile.write(bytes(64 * 1024))


def drip(request: BaseHTTPRequestHandler) -> None:
    """Send a byte every 0.1 s."""
    request.send_response(200)
    request.send_header("Content-Length", "1000")
    request.end_headers()
    for _ in range(1000):
        request.wfile.write(b"a")
        request.wfile.flush()
        time.sleep(0.1)


def drip_headers(request: BaseHTTPRequestHandler) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Drip: ")
    for _ in range(1000):
        request.wfile.write(b"a")
        request.wfile.flush()
        time.sleep(0.1)


@dataclass
class SongSite:
    """Answers each path. `requested` has the paths, `headers` those of the last request."""

    answers: dict[str, Answer]
    tls: ssl.SSLContext | None = None
    requested: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Self:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requested.append(self.path)
                outer.headers = {name.lower(): value for name, value in self.headers.items()}
                try:
                    outer.answers.get(self.path.partition("?")[0], file(b"", status=404))(self)
                except OSError:
                    self.close_connection = True

            do_HEAD = do_DELETE = do_GET

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if self.tls:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def url(self, path: str) -> str:
        """Certificates name `localhost`."""
        start = "https://localhost" if self.tls else "http://127.0.0.1"
        return f"{start}:{self._server.server_port}{path}"
