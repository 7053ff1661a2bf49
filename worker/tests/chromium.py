"""The decoder of web pages: `decodeAudioData` in a headless Chromium."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import unquote

import numpy as np

from msaas_worker.audio.decoded import CHANNELS, SAMPLERATE, Audio
from tests.servers import absent

_NAMES = ("chromium", "chromium-browser", "google-chrome")
#: On a crowded machine, the start alone can take a minute.
_DECODED_S = 240.0
_ENDED_S = 30.0
_PAGE = """<!doctype html><script>
(async () => {
  for (const name of %s) {
    let samples = new ArrayBuffer(0)
    try {
      const file = await (await fetch('/file/' + encodeURIComponent(name))).arrayBuffer()
      const audio = await new OfflineAudioContext(2, 1, %d).decodeAudioData(file)
      const both = new Float32Array(2 * audio.length)
      both.set(audio.getChannelData(0))
      both.set(audio.getChannelData(audio.numberOfChannels - 1), audio.length)
      samples = both.buffer
    } catch (error) { console.error(name, error) }
    await fetch('/samples/' + encodeURIComponent(name), {method: 'POST', body: samples})
  }
  await fetch('/end', {method: 'POST'})
})()
</script>"""


@dataclass
class _Exchange:
    """The files that the page gets, and the samples that it sends."""

    files: Mapping[str, Path]
    samples: dict[str, Audio] = field(default_factory=dict)
    has_ended: Event = field(default_factory=Event)


def decode_by_chromium(files: Mapping[str, Path], folder: Path) -> dict[str, Audio]:
    """Return the samples `[2, n]` of each file at 44.1 kHz, none for a file that does not play."""
    program = next(filter(None, map(shutil.which, _NAMES)), None) or absent("chromium")
    exchange = _Exchange(files)
    with _serve(exchange) as url, _open(str(program), url, folder):
        if not exchange.has_ended.wait(_DECODED_S):
            raise TimeoutError(f"Chromium decoded {len(exchange.samples)} of {len(files)} files.")
    return exchange.samples


@contextmanager
def _open(program: str, url: str, folder: Path) -> Iterator[None]:
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
    # Without the port, a headless browser ends when the page is loaded.
    command = [program, *options, "--remote-debugging-port=0", f"--user-data-dir={folder / 'profile'}", url]
    with open(folder / "chromium.log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(_ENDED_S)


@contextmanager
def _serve(exchange: _Exchange) -> Iterator[str]:
    handler = type("Handler", (_Handler,), {"exchange": exchange})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    exchange: _Exchange

    def do_GET(self) -> None:
        file = self.exchange.files.get(self._name)
        if file:
            self._answer(file.read_bytes())
        elif self.path == "/":
            page = _PAGE % (json.dumps(list(self.exchange.files)), SAMPLERATE)
            self._answer(page.encode(), media_type="text/html")
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self.path == "/end":
            self.exchange.has_ended.set()
        else:
            self.exchange.samples[self._name] = np.frombuffer(body, np.float32).reshape(CHANNELS, -1)
        self._answer(b"")

    @property
    def _name(self) -> str:
        return unquote(self.path.rpartition("/")[2])

    def _answer(self, body: bytes, *, media_type: str = "application/octet-stream") -> None:
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Write nothing."""
