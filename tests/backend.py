"""A backend that stores the archives of workers: a small HTTP server that answers as a test wants."""

import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from msaas.errors import MsaasError
from msaas.stem_tar import read_stem_tar

TOKEN = "s3cret-token"
_CHUNK_BYTES = 64 * 1024

#: Answers a POST before its body is read; None lets the backend store it.
Answer = Callable[[BaseHTTPRequestHandler], int | None]


def store_it(_: BaseHTTPRequestHandler) -> None:
    return None


def status(code: int) -> Answer:
    """Return an answer with this status, after the body was read."""

    def answer(request: BaseHTTPRequestHandler) -> int:
        left = int(request.headers["Content-Length"])
        while left and (chunk := request.rfile.read(min(_CHUNK_BYTES, left))):
            left -= len(chunk)
        return code

    return answer


def cut(request: BaseHTTPRequestHandler) -> int:
    """Close the connection in the middle of the body."""
    request.rfile.read(1000)
    raise ConnectionAbortedError


@dataclass
class Upload:
    path: str
    headers: dict[str, str]


@dataclass
class Backend:
    """Answers in turn with `answers`, then stores.

    `songs` are the stems of each song, as they came. `extras` are the further files of each archive, by name.
    """

    answers: list[Answer] = field(default_factory=list)
    uploads: list[Upload] = field(default_factory=list)
    #: A header of answers from 400 on, if it is not empty.
    retry_after: str = ""
    songs: defaultdict[str, list[dict[str, bytes]]] = field(default_factory=lambda: defaultdict(list))
    extras: list[dict[str, bytes]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                with outer._lock:
                    outer.uploads.append(Upload(self.path, headers))
                    answer = outer.answers.pop(0) if outer.answers else store_it
                self.close_connection = True
                try:
                    code = answer(self)
                    self._reply(code if code is not None else outer._store(self))
                except OSError:
                    self.connection.close()

            def _reply(self, code: int) -> None:
                text = b"the reason" if code >= 300 else b""
                self.send_response(code)
                self.send_header("Content-Length", str(len(text)))
                if 300 <= code < 400:
                    self.send_header("Location", "/elsewhere")
                if code >= 400 and outer.retry_after:
                    self.send_header("Retry-After", outer.retry_after)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _store(self, request: BaseHTTPRequestHandler) -> int:
        """Store the archive; return the status."""
        if request.headers["Authorization"] != f"Bearer {TOKEN}":
            return 403
        song_hash = request.path.split("/")[2]
        with tempfile.TemporaryDirectory() as folder:
            body = _Body(request)
            try:
                received = read_stem_tar(body, Path(folder))
            except MsaasError:
                return 400
            stems = {stem: each.path.read_bytes() for stem, each in received.stems.items()}
            files = {f"{stem}.peaks": each.peaks for stem, each in received.stems.items()}
            files["analysis.json"] = received.analysis
            extras = {name: file.read_bytes() for name, file in files.items() if file}
        with self._lock:
            self.songs[song_hash].append(stems)
            self.extras.append(extras)
        return 200


@dataclass
class _Body:
    request: BaseHTTPRequestHandler
    left: int = -1

    def read(self, size: int, /) -> bytes:
        if self.left < 0:
            self.left = int(self.request.headers["Content-Length"])
        data = self.request.rfile.read(min(size, self.left))
        self.left -= len(data)
        return data
