"""A server on loopback with the hub's layout, which can be cut, damaged or silenced."""

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

_COMMIT = "c" * 40


@dataclass
class FakeHub:
    """`files` by `<owner>/<repository>/<name>`; a file's ETag is its SHA-256, as the hub's for weights."""

    files: dict[str, bytes] = field(default_factory=dict)
    #: How many downloads of weights are cut in the middle.
    cuts: int = 0
    #: Seconds before any answer.
    silence_s: float = 0.0
    etags: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    endpoint: str = ""


@contextmanager
def hub_running(hub: FakeHub) -> Iterator[FakeHub]:
    class Handler(_Handler):
        served = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    served: FakeHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        content, start = self._answer()
        if content is None:
            return
        if self.served.cuts and self.path.endswith(".safetensors"):
            self.served.cuts -= 1
            self.wfile.write(content[start : (start + len(content)) // 2])
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self.wfile.write(content[start:])

    def _answer(self) -> tuple[bytes | None, int]:
        self.served.asked.append(f"{self.command} {self.path}")
        time.sleep(self.served.silence_s)
        owner, repository, _, _, name = unquote(self.path).lstrip("/").split("/", 4)
        key = f"{owner}/{repository}/{name}"
        content = self.served.files.get(key)
        if content is None:
            self._say(404, {"X-Error-Code": "EntryNotFound", "Content-Length": "0"})
            return None, 0
        start = self._first_byte()
        etag = self.served.etags.get(key, hashlib.sha256(content).hexdigest())
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": _COMMIT, "Accept-Ranges": "bytes"}
        headers["Content-Length"] = str(len(content) - start)
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._say(206 if start else 200, headers)
        return content, start

    def _first_byte(self) -> int:
        span = self.headers.get("Range", "bytes=0-")
        return int(span.removeprefix("bytes=").split("-")[0])

    def _say(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""
