"""The supervisor keeps real processes alive, and leaves none behind."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from msaas_local.parts import Part
from msaas_local.supervisor import Supervisor

SLEEPER = (sys.executable, "-c", "import time; time.sleep(60)")
DEAF_PROGRAM = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(60)
"""
DEAF = (sys.executable, "-c", DEAF_PROGRAM)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str]) -> Iterator[Supervisor]:
    supervisor = Supervisor(tmp_path, said.append)
    yield supervisor
    supervisor.stop()


def pid_of(supervisor: Supervisor, index: int = 0) -> int:
    return supervisor._running[index].process.pid


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def watch_until(supervisor: Supervisor, condition: Callable[[], bool], *, timeout_s: float = 5.0) -> float:
    """Return how long it took."""
    started_at = time.monotonic()
    while not condition():
        assert time.monotonic() - started_at < timeout_s
        supervisor.watch()
        time.sleep(0.02)
    return time.monotonic() - started_at


def test_a_killed_part_is_back_within_a_second_and_the_stack_says_so(
    supervisor: Supervisor, said: list[str]
) -> None:
    supervisor.start([Part("sleeper", SLEEPER)])
    first = pid_of(supervisor)
    os.kill(first, signal.SIGKILL)
    assert watch_until(supervisor, lambda: pid_of(supervisor) != first) < 1.0
    assert is_alive(pid_of(supervisor))
    assert "sleeper was killed by SIGKILL" in said[0]


def test_a_part_that_dies_at_once_is_started_less_and_less_often(
    supervisor: Supervisor, said: list[str]
) -> None:
    supervisor.start([Part("broken", (sys.executable, "-c", "raise SystemExit('no such device')"))])
    watch_until(supervisor, lambda: len(said) >= 3)
    assert "no such device" in said[0]
    assert "in 1 s" in said[2]


def test_no_process_is_left_when_the_stack_ends(supervisor: Supervisor) -> None:
    supervisor.start([Part("one", SLEEPER), Part("two", SLEEPER)])
    pids = [pid_of(supervisor, 0), pid_of(supervisor, 1)]
    supervisor.stop()
    assert not any(is_alive(pid) for pid in pids)


def test_a_part_that_ignores_the_signal_is_killed(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("msaas_local.supervisor._GRACE_S", 0.3)
    supervisor.start([Part("deaf", DEAF)])
    watch_until(supervisor, lambda: "deaf" in (tmp_path / "deaf.log").read_text())
    pid = pid_of(supervisor)
    supervisor.stop()
    assert not is_alive(pid)


def test_the_parts_get_their_own_environment(supervisor: Supervisor, tmp_path: Path) -> None:
    command = (sys.executable, "-c", "import os; print(os.environ['MSAAS_TEST'])")
    supervisor.start([Part("teller", command, env={"MSAAS_TEST": "told"})])
    watch_until(supervisor, lambda: "told" in (tmp_path / "teller.log").read_text())
