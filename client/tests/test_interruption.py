"""Ctrl-C while a job waits, during an upload, during a download, and while the server is away."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from client.tests.conftest import write_songs
from client.tests.stack import Stack, hash_of, interrupt, run, started, wait_for_job
from msaas.jobs import JobState
from tests.servers import wait_until
from tests.tcp_proxy import Cut, TcpProxy, tcp_proxy

pytestmark = pytest.mark.server


def test_interrupt_while_a_job_waits_cancels_it(idle_stack: Stack, song_file: Path, tmp_path: Path) -> None:
    with started(idle_stack.url, "separate", song_file, cwd=tmp_path) as process:
        wait_until(lambda: hash_of(song_file) in wait_for_job(idle_stack, JobState.QUEUED))
        assert interrupt(process) == (130, "Cancelled 1 job.\n")
    assert idle_stack.state(hash_of(song_file)) is JobState.CANCELLED


def test_interrupt_names_the_jobs_that_may_go_on(
    idle_stack: Stack, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    first, second = write_songs(tmp_path, request, count=2)
    with stalled_at_second(idle_stack, [first, second], cwd=tmp_path) as (proxy, process):
        proxy.refuse()
        code, errors = interrupt(process)
    assert code == 130
    assert " may go on: " in errors
    assert hash_of(first) in errors
    assert idle_stack.state(hash_of(first)) is JobState.QUEUED
    with idle_stack.client() as client:
        client.cancel(hash_of(first), all_requests=True)


def test_interrupt_cancels_what_was_sent_without_waiting(
    idle_stack: Stack, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    first, second = write_songs(tmp_path, request, count=2)
    with stalled_at_second(idle_stack, [first, second], cwd=tmp_path) as (_, process):
        time.sleep(1)  # The body is sent, and waits in the proxy.
        found = interrupt(process)
    expected = f"Cancelled 1 job.\nerror: 1 job may go on: {second}. The server has not answered.\n"
    assert found == (130, expected)
    assert idle_stack.state(hash_of(first)) is JobState.CANCELLED


class Stall:
    """Passes requests until this `POST`, which never arrives."""

    def __init__(self, *, posts: int) -> None:
        self._posts = posts
        self.has_begun = threading.Event()

    def __call__(self, chunk: bytes) -> bytes:
        is_post = chunk.startswith(b"POST ")
        self._posts -= is_post
        if is_post and not self._posts:
            self.has_begun.set()
            time.sleep(60)
            raise Cut
        return chunk


@contextmanager
def stalled_at_second(
    stack: Stack, songs: list[Path], *, cwd: Path
) -> Iterator[tuple[TcpProxy, "subprocess.Popen[str]"]]:
    """Send two songs without waiting for their jobs. The upload of the second one never arrives."""
    with tcp_proxy("127.0.0.1", stack.port) as proxy:
        proxy.requests = stall = Stall(posts=2)
        arguments = ("separate", "--no-wait", "-j", "1", *songs)
        with started(f"http://{proxy.address}", *arguments, cwd=cwd) as process:
            assert stall.has_begun.wait(30)
            yield proxy, process


class Slow:
    """Passes each long chunk of a body after a pause."""

    def __init__(self, *, least_bytes: int, pause_s: float) -> None:
        self._least_bytes = least_bytes
        self._pause_s = pause_s
        self.has_begun = threading.Event()

    def __call__(self, chunk: bytes) -> bytes:
        if len(chunk) >= self._least_bytes and not chunk.startswith(b"POST "):
            self.has_begun.set()
            time.sleep(self._pause_s)
        return chunk


def test_interrupt_during_an_upload_leaves_no_job(idle_stack: Stack, tmp_path: Path) -> None:
    song = tmp_path / "long.mp3"
    song.write_bytes(os.urandom(32 << 20))
    slow = Slow(least_bytes=1000, pause_s=0.2)
    with tcp_proxy("127.0.0.1", idle_stack.port) as proxy:
        proxy.requests = slow
        with started(f"http://{proxy.address}", "separate", song, cwd=tmp_path) as process:
            assert slow.has_begun.wait(30)
            code, errors = interrupt(process)
    assert (code, errors) == (130, "")
    assert idle_stack.system.queue.status(hash_of(song)) is None


def test_interrupt_during_a_download_leaves_no_stem(stack: Stack, song_file: Path, tmp_path: Path) -> None:
    run(stack.url, "separate", "-o", "first", song_file, cwd=tmp_path)
    slow = Slow(least_bytes=10_000, pause_s=0.3)
    with tcp_proxy("127.0.0.1", stack.port) as proxy:
        proxy.replies = slow
        with started(f"http://{proxy.address}", "separate", song_file, cwd=tmp_path) as process:
            assert slow.has_begun.wait(30)
            code, _ = interrupt(process)
    assert code == 130
    assert list(tmp_path.glob("separated/*/vocals.mp3")) == []
    again = run(stack.url, "separate", song_file, cwd=tmp_path)
    assert (again.returncode, len(again.stdout.splitlines())) == (0, 4)
