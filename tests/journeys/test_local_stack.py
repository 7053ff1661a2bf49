"""`make up` as a developer uses it: ready lines, stems, restarts, and no process left behind."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from msaas.songs import song_hash
from tests.journeys.stack import ROOT, SONGS, STEMS, Stack, running, start
from tests.servers import free_port, wait_until

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("shared") / "home") as stack:
        yield stack


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack that the test may kill."""
    with running(tmp_path / "home") as stack:
        yield stack


def test_song_becomes_four_stems(shared_stack: Stack) -> None:
    mp3 = SONGS[0].read_bytes()
    job_id = shared_stack.send(mp3)
    assert job_id == song_hash(mp3)
    status = shared_stack.wait_for(job_id)
    assert status["state"] == "done", status["error"]
    assert status["progress"] == 1.0
    stems = [shared_stack.get(f"/apiv1/track/{job_id}/{stem}.mp3") for stem in STEMS]
    assert {reply.status_code for reply in stems} == {200}
    assert len({reply.content for reply in stems}) == 4
    assert ".worker.info:" in shared_stack.text()


def test_same_song_again_runs_no_model(shared_stack: Stack) -> None:
    mp3 = SONGS[0].read_bytes()
    job_id = shared_stack.send(mp3)
    first = shared_stack.wait_for(job_id)
    shared_stack.send(mp3)
    assert shared_stack.get("/apiv1/queue").json() == {"queue": []}
    assert shared_stack.wait_for(job_id)["finished_at"] == first["finished_at"]


def test_printed_command_sends_a_song_by_the_queue(shared_stack: Stack) -> None:
    (command,) = re.findall(r"^\[msaas\]   try    (.+)$", shared_stack.text(), flags=re.MULTILINE)
    # The interpreter of the tests instead of the one of `make setup`.
    command = command.replace(".venv/bin/python", sys.executable) + f" {SONGS[1]}"
    bare = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    sent = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, env=bare, capture_output=True, text=True, check=False
    )
    assert sent.returncode == 0, sent.stderr
    status = shared_stack.wait_for(song_hash(SONGS[1].read_bytes()))
    assert status["state"] == "done", status["error"]


@pytest.mark.parametrize("service", ["rest", "keeper"])
def test_killed_process_restarts_within_a_second(shared_stack: Stack, service: str) -> None:
    process = shared_stack.find(f"msaas_{service}")
    assert process
    process.kill()
    killed_at = time.monotonic()
    wait_until(lambda: f"{service} was killed by SIGKILL" in shared_stack.text(), timeout_s=1.0)
    wait_until(lambda: shared_stack.find(f"msaas_{service}"), timeout_s=1.0)
    assert time.monotonic() - killed_at < 1.5
    wait_until(shared_stack.is_accepting, timeout_s=60)


def test_home_in_use_is_named(shared_stack: Stack) -> None:
    second = start(shared_stack.home.with_name("second"), MSAAS_HOME=str(shared_stack.home))
    assert second.process.wait(60) == 1
    assert second.text() == (
        f"A stack already runs in {shared_stack.home}. Stop it, or choose another folder with MSAAS_HOME.\n"
    )


def test_port_in_use_is_named(shared_stack: Stack, tmp_path: Path) -> None:
    port = shared_stack.url.rpartition(":")[2]
    second = start(tmp_path / "home", PORT=port)
    assert second.process.wait(60) == 1
    assert second.text().startswith(f"Port {port} on 127.0.0.1 is taken. ")


@pytest.mark.long
def test_starter_stands_in_for_missing_weights(tmp_path: Path) -> None:
    # The hub client is offline and has no cache: the weights are missing for certain.
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    with running(tmp_path / "home", DEMUCS_MODEL="htdemucs", **offline) as stack:
        assert "  model  starter runs in place of htdemucs." in stack.text()
        assert "  why    Model htdemucs is not on this machine" in stack.text()
        status = stack.wait_for(stack.send(SONGS[0].read_bytes()))
        assert status["state"] == "done"
        assert (status["requested_model"], status["model"]) == ("htdemucs", "starter")


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_stack_and_all_processes(stack: Stack, number: signal.Signals) -> None:
    processes = stack.processes()
    assert len(processes) >= 5
    stack.process.send_signal(number)
    assert stack.process.wait(30) == 0
    assert [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.long
def test_killed_stack_ends_its_processes(stack: Stack) -> None:
    processes = stack.processes()
    stack.process.kill()
    stack.process.wait()
    assert psutil.wait_procs(processes, timeout=15)[1] == []


@pytest.mark.long
def test_jobs_of_the_previous_run_are_done(tmp_path: Path) -> None:
    with running(tmp_path / "home", LEASE_SECONDS="3") as first:
        processes = first.processes()
        job_id = first.send(SONGS[0].read_bytes())
        first.process.kill()
        first.process.wait()
        psutil.wait_procs(processes, timeout=15)
    with running(tmp_path / "home", LEASE_SECONDS="3") as second:
        assert second.wait_for(job_id)["state"] == "done"


@pytest.mark.long
def test_demo_reports_its_start_and_saves_the_stems(tmp_path: Path) -> None:
    env = {**os.environ, "DEMUCS_MODEL": "starter", "MSAAS_HOME": str(tmp_path), "PORT": str(free_port())}
    command = [sys.executable, "-m", "msaas_local", "demo"]
    result = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=280, check=False
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "[msaas] starting redis, logs, rest, keeper, worker-1"
    assert any(line.endswith("s: worker-1 loads starter") for line in lines)
    for song in SONGS:
        assert any(line.startswith(f"[msaas] {song.name}: separated by starter on ") for line in lines)
        for stem in STEMS:
            assert (ROOT / "output" / song.stem / f"{stem}.mp3").stat().st_mtime > time.time() - 300
        assert any(
            line.startswith(f"{song_hash(song.read_bytes())[:12]}…  done   starter  ") for line in lines
        )
