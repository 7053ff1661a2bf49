"""`sample-requests.py` sends songs as the client in use does."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from rest.tests.service import ROOT, Service

from msaas.songs import song_hash

SONGS = sorted((ROOT / "data").glob("*.mp3"))


def run(rest: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "REST": rest}
    command = [sys.executable, str(ROOT / "sample-requests.py")]
    return subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, check=False, timeout=60)


def test_every_song_is_enqueued(service: Service) -> None:
    ended = run(service.url.removeprefix("http://"))
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert SONGS
    assert service.queue.waiting() == [song_hash(song.read_bytes()) for song in SONGS]
    assert all(song_hash(song.read_bytes()) in ended.stdout for song in SONGS)


class Recorder(BaseHTTPRequestHandler):
    """Answers 201, which the client in use does not take for success."""

    seen: list[tuple[str, str, object]]

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.command, self.path, json.loads(body)))
        self.send_response(201)
        self.end_headers()

    do_GET = do_POST = _answer

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def recorder() -> Iterator[ThreadingHTTPServer]:
    Recorder.seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.process
def test_other_status_than_200_is_printed_as_a_failure(recorder: ThreadingHTTPServer) -> None:
    ended = run(f"127.0.0.1:{recorder.server_port}")
    assert ended.returncode == 1
    assert ended.stderr.count("failed: 201") == len(SONGS) + 1


@pytest.mark.process
def test_requests_are_those_of_the_client_in_use(recorder: ThreadingHTTPServer) -> None:
    run(f"127.0.0.1:{recorder.server_port}")
    *songs, queue = Recorder.seen
    assert queue == ("GET", "/apiv1/queue", None)
    assert len(songs) == len(SONGS)
    for method, path, body in songs:
        assert (method, path) == ("POST", "/apiv1/separate")
        assert isinstance(body, dict)
        assert set(body) == {"mp3", "callback"}
        assert body["callback"]["url"] == "http://localhost:5000"
