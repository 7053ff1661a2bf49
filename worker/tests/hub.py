"""A server on loopback with the API of the hub. It can cut downloads, send wrong ETags or stay silent."""

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from tests.servers import wait_until

#: Its port is closed: a connection is refused at once.
REFUSING_ENDPOINT = "http://127.0.0.1:9"
_COMMIT = "c" * 40


@dataclass
class HubServer:
    """`files` by `<owner>/<repository>/<name>`. The ETag of a file is its SHA-256, like that of weights."""

    files: dict[str, bytes] = field(default_factory=dict)
    #: Number of downloads of weights that are cut in the middle.
    cuts: int = 0
    #: Seconds before each response.
    silence_s: float = 0.0
    etags: dict[str, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    endpoint: str = ""
    #: Ends the silence.
    is_over: threading.Event = field(default_factory=threading.Event)


@contextmanager
def running_hub(hub: HubServer) -> Iterator[HubServer]:
    class Handler(_Handler):
        server_state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        # A client that is left behind would try again, and close the connections of the next test.
        hub.cuts = 0
        hub.is_over.set()
        wait_until(lambda: not any(thread.name == "hub" for thread in threading.enumerate()))
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server_state: HubServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._send_head()

    def do_GET(self) -> None:
        content, start = self._send_head()
        if content is None:
            return
        if self.server_state.cuts and self.path.endswith(".safetensors"):
            self.server_state.cuts -= 1
            self.wfile.write(content[start : (start + len(content)) // 2])
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self.wfile.write(content[start:])

    def _send_head(self) -> tuple[bytes | None, int]:
        self.server_state.requests.append(f"{self.command} {self.path}")
        self.server_state.is_over.wait(self.server_state.silence_s)
        owner, repository, _, _, name = unquote(self.path).lstrip("/").split("/", 4)
        key = f"{owner}/{repository}/{name}"
        content = self.server_state.files.get(key)
        if content is None:
            self._send_headers(404, {"X-Error-Code": "EntryNotFound", "Content-Length": "0"})
            return None, 0
        start = self._first_byte()
        etag = self.server_state.etags.get(key, hashlib.sha256(content).hexdigest())
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": _COMMIT, "Accept-Ranges": "bytes"}
        headers["Content-Length"] = str(len(content) - start)
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._send_headers(206 if start else 200, headers)
        return content, start

    def _first_byte(self) -> int:
        span = self.headers.get("Range", "bytes=0-")
        return int(span.removeprefix("bytes=").split("-")[0])

    def _send_headers(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""
