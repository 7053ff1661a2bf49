"""`make up`, as a developer uses it: one line when it is ready, four stems, nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from msaas.songs import song_hash
from tests.servers import free_port, wait_until

ROOT = Path(__file__).parents[2]
SONG = sorted((ROOT / "data").glob("*.mp3"))[0]
READY_S, SEPARATED_S = 60.0, 120.0


@dataclass
class Stack:
    process: subprocess.Popen[str]
    url: str
    home: Path
    output: Path

    def said(self) -> str:
        return self.output.read_text()

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, timeout=10)

    def parts(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def part(self, module: str) -> psutil.Process:
        return next(each for each in self.parts() if module in each.cmdline())

    def send(self, mp3: bytes) -> str:
        reply = requests.post(
            f"{self.url}/apiv1/separate", data=mp3, headers={"Content-Type": "audio/mpeg"}, timeout=10
        )
        assert reply.status_code == 200, reply.text
        return str(reply.json()["songhash"])

    def ended(self, job_id: str) -> dict[str, Any]:
        def has_ended() -> bool:
            return self.get(f"/apiv1/job/{job_id}").json()["state"] in {"done", "failed"}

        wait_until(has_ended, timeout_s=SEPARATED_S, every_s=0.2)
        return dict(self.get(f"/apiv1/job/{job_id}").json())


def start(home: Path, **settings: str) -> Stack:
    port = free_port()
    output = home.with_suffix(".out")
    env = {name: value for name, value in os.environ.items() if name not in {"REDIS_HOST", "MINIO_HOST"}}
    # A queue of its own: a worker that somebody left at the usual port would take its jobs.
    env |= {"MSAAS_HOME": str(home), "PORT": str(port), "REDIS_PORT": str(free_port())}
    env |= {"DEMUCS_MODEL": "starter", **settings}
    with open(output, "w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "msaas_local"],
            cwd=ROOT,
            env=env,
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
        )
    return Stack(process, f"http://127.0.0.1:{port}", home, output)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = start(tmp_path / "home")
    wait_until(lambda: "ready at" in stack.said(), timeout_s=READY_S)
    yield stack
    if stack.process.poll() is None:
        stack.process.send_signal(signal.SIGTERM)
        stack.process.wait(30)


def test_a_song_goes_in_and_four_stems_come_out(stack: Stack) -> None:
    mp3 = SONG.read_bytes()
    job_id = stack.send(mp3)
    assert job_id == song_hash(mp3)
    status = stack.ended(job_id)
    assert status["state"] == "done", status["error"]
    assert status["progress"] == 1.0
    stems = {
        stem: stack.get(f"/apiv1/track/{job_id}/{stem}.mp3") for stem in ("vocals", "drums", "bass", "other")
    }
    assert {reply.status_code for reply in stems.values()} == {200}
    assert len({reply.content for reply in stems.values()}) == 4
    assert ".worker.info:" in stack.said()


def test_the_same_song_again_runs_no_model(stack: Stack) -> None:
    mp3 = SONG.read_bytes()
    job_id = stack.send(mp3)
    first = stack.ended(job_id)
    stack.send(mp3)
    assert stack.get("/apiv1/queue").json() == {"queue": []}
    assert stack.ended(job_id)["finished_at"] == first["finished_at"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_code_0_and_leaves_no_process(stack: Stack, number: signal.Signals) -> None:
    parts = stack.parts()
    assert len(parts) >= 4
    stack.process.send_signal(number)
    assert stack.process.wait(30) == 0
    assert [each for each in parts if each.is_running() and each.status() != psutil.STATUS_ZOMBIE] == []


def test_a_stack_that_is_killed_takes_its_parts_along(stack: Stack) -> None:
    parts = stack.parts()
    stack.process.kill()
    stack.process.wait()
    assert psutil.wait_procs(parts, timeout=15)[1] == []


def test_a_part_that_dies_is_back_within_a_second(stack: Stack) -> None:
    rest = stack.part("msaas_rest")
    rest.kill()
    killed_at = time.monotonic()
    wait_until(lambda: "rest was killed by SIGKILL" in stack.said(), timeout_s=1.0)
    wait_until(lambda: any("msaas_rest" in each.cmdline() for each in stack.parts()), timeout_s=1.0)
    assert time.monotonic() - killed_at < 1.5
    wait_until(lambda: answers(stack), timeout_s=15)


def answers(stack: Stack) -> bool:
    try:
        return stack.get("/readyz").status_code == 200
    except requests.ConnectionError:
        return False


def test_jobs_of_the_last_run_go_on(tmp_path: Path) -> None:
    first = start(tmp_path / "home")
    wait_until(lambda: "ready at" in first.said(), timeout_s=READY_S)
    job_id = first.send(SONG.read_bytes())
    first.process.kill()
    first.process.wait()
    time.sleep(1.0)  # The parts notice that the stack is gone.
    second = start(tmp_path / "home", LEASE_SECONDS="3")
    try:
        wait_until(lambda: "ready at" in second.said(), timeout_s=READY_S)
        assert second.ended(job_id)["state"] == "done"
    finally:
        second.process.send_signal(signal.SIGTERM)
        second.process.wait(30)


def test_a_taken_home_and_a_taken_port_are_named(stack: Stack) -> None:
    again = start(stack.home)
    assert again.process.wait(30) != 0
    assert "MSAAS_HOME" in again.said()
