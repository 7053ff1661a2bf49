"""`worker/send-request.py` pushes a sample job, and names the cause of a failure in one line."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from msaas.songs import song_hash
from tests.servers import free_port
from tests.system import System

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "worker" / "send-request.py"
pytestmark = pytest.mark.process


def run(
    *arguments: str | Path, script: Path = SCRIPT, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, script, *arguments],
        env={"PATH": os.environ["PATH"], "REDIS_PORT": str(free_port()), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def assert_fails(result: subprocess.CompletedProcess[str], *texts: str) -> None:
    assert (result.returncode, result.stdout) == (1, "")
    assert all(text in result.stderr for text in texts), result.stderr
    assert "Traceback" not in result.stderr


def assert_fails_in_one_line(result: subprocess.CompletedProcess[str], *texts: str) -> None:
    assert_fails(result, *texts)
    assert len(result.stderr.splitlines()) == 1


def test_sample_is_stored_and_its_job_waits(system: System) -> None:
    result = run(**system.environment)
    assert result.returncode == 0, result.stderr
    (job_id,) = system.queue.waiting()
    assert result.stdout.startswith(f"{job_id} queued: ")
    assert song_hash(b"".join(system.song_store.song(job_id))) == job_id


def test_wrong_setting_is_named(tmp_path: Path) -> None:
    assert_fails_in_one_line(run(STORE_DIR=str(tmp_path), REDIS_DB="first"), "REDIS_DB")


@pytest.mark.parametrize("name", ["absent.mp3", "."])
def test_song_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    assert_fails_in_one_line(run(tmp_path / name, STORE_DIR=str(tmp_path)), str(tmp_path / name))


def test_missing_samples_are_named(tmp_path: Path) -> None:
    (tmp_path / "worker").mkdir()
    (tmp_path / "data").mkdir()
    script = Path(shutil.copy(SCRIPT, tmp_path / "worker"))
    assert_fails_in_one_line(
        run(script=script, STORE_DIR=str(tmp_path / "store")), f"{tmp_path / 'data'} has no MP3"
    )


def test_unreachable_queue_is_named_with_advice(tmp_path: Path) -> None:
    assert_fails(run(STORE_DIR=str(tmp_path)), "The queue is unavailable", "Set REDIS_HOST, REDIS_PORT")
