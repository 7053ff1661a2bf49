"""`examples/client.py` on a running service, with the part of the worker."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rest.tests.service import ROOT, SONG, Service

CLIENT = ROOT / "examples" / "client.py"


@pytest.fixture
def worked(songs_service: Service) -> Iterator[Service]:
    """The service beside a thread that does each job as it comes."""
    stopping = threading.Event()

    def work() -> None:
        while not stopping.is_set():
            # The client compares the reply to its upload with the song, before it is split.
            stopping.wait(1.0)
            if songs_service.queue.waiting():
                songs_service.work()

    thread = threading.Thread(target=work)
    thread.start()
    yield songs_service
    stopping.set()
    thread.join()


def run(service: Service, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(CLIENT), f"--addr={service.url}", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_integration_passes(worked: Service, tmp_path: Path) -> None:
    done = run(worked, tmp_path, "integration")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "integration passed"
    assert list(worked.song_store.songs()) == []


def test_each_command_calls_its_route(worked: Service, tmp_path: Path) -> None:
    for arguments, expected in (
        (("register", "ann", "correct horse"), '"ok": true'),
        (("account",), '"username": "ann"'),
        (("sessions",), '"is_current": true'),
        (("upload", str(SONG), "--title", "Mine"), '"title": "Mine"'),
        (("songs",), '"title": "Mine"'),
        (("logout",), '"ok": true'),
        (("songs",), "[]"),
        (("login", "ann", "correct horse"), '"ok": true'),
    ):
        done = run(worked, tmp_path, *arguments)
        assert (done.returncode, done.stderr) == (0, ""), arguments
        assert expected in done.stdout, arguments


def test_failed_call_ends_with_the_errors(songs_service: Service, tmp_path: Path) -> None:
    done = run(songs_service, tmp_path, "show", "999999")
    assert done.returncode == 1
    assert "404" in done.stderr
