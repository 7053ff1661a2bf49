"""The supervisor restarts real processes, and leaves none behind."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from msaas_local.processes import Process
from msaas_local.supervisor import Supervisor

SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")
IGNORE_SIGTERM_PROGRAM = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ignoring", flush=True)
time.sleep(60)
"""
IGNORE_SIGTERM = (sys.executable, "-c", IGNORE_SIGTERM_PROGRAM)


#: 100 MiB as fast as it can, later a last line.
FLOOD_PROGRAM = """
import time
for number in range(100):
    print(("x" * 1023 + "\\n") * 1024, end="", flush=True)
time.sleep(1)
print("the end", flush=True)
time.sleep(60)
"""
FLOOD = (sys.executable, "-c", FLOOD_PROGRAM)
MIB = 1024 * 1024


@pytest.fixture
def messages() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, messages: list[str]) -> Iterator[Supervisor]:
    supervisor = Supervisor(tmp_path, messages.append, grace_s=0.5)
    yield supervisor
    supervisor.stop()


def running(command: tuple[str, ...]) -> list[psutil.Process]:
    """Return the live children of this process that run `command`."""
    return [
        child
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE and tuple(child.cmdline()) == command
    ]


def size_of_files(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def watch_until(supervisor: Supervisor, condition: Callable[[], object], *, timeout_s: float = 10.0) -> float:
    """Return how long it took, in seconds."""
    started_at = time.monotonic()
    while not condition():
        assert time.monotonic() - started_at < timeout_s
        supervisor.watch()
        time.sleep(0.02)
    return time.monotonic() - started_at


@pytest.mark.alone
def test_killed_process_restarts_within_a_second(supervisor: Supervisor, messages: list[str]) -> None:
    supervisor.start([Process("sleeper", SLEEP)])
    watch_until(supervisor, lambda: running(SLEEP))
    (first,) = running(SLEEP)
    os.kill(first.pid, signal.SIGKILL)
    assert watch_until(supervisor, lambda: any(each.pid != first.pid for each in running(SLEEP))) < 1.0
    assert "sleeper was killed by SIGKILL; it restarts in 0.5 s." in messages[0]


def test_process_that_dies_at_once_restarts_with_backoff(supervisor: Supervisor, messages: list[str]) -> None:
    supervisor.start([Process("broken", (sys.executable, "-c", "raise SystemExit('no such device')"))])
    watch_until(supervisor, lambda: len(messages) >= 3)
    assert "no such device" in messages[0]
    assert [message.split("restarts in ")[1].split(".\n")[0] for message in messages[:3]] == [
        "0.5 s",
        "0.5 s",
        "1 s",
    ]


def test_stop_leaves_no_process(supervisor: Supervisor) -> None:
    supervisor.start([Process("one", SLEEP), Process("two", SLEEP)])
    watch_until(supervisor, lambda: len(running(SLEEP)) == 2)
    supervisor.stop()
    assert running(SLEEP) == []


def test_process_that_ignores_sigterm_is_killed(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start([Process("stubborn", IGNORE_SIGTERM)])
    watch_until(supervisor, lambda: "ignoring" in (tmp_path / "stubborn.log").read_text())
    supervisor.stop()
    assert running(IGNORE_SIGTERM) == []


def test_process_gets_its_own_environment(supervisor: Supervisor, tmp_path: Path) -> None:
    command = (sys.executable, "-c", "import os; print(os.environ['MSAAS_TEST'])")
    supervisor.start([Process("printer", command, env={"MSAAS_TEST": "own value"})])
    watch_until(supervisor, lambda: "own value" in (tmp_path / "printer.log").read_text())


@pytest.mark.fault("T15")
def test_logs_of_a_flooding_process_stay_small(
    supervisor: Supervisor, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    supervisor.start([Process("flood", FLOOD)])
    log, sizes = tmp_path / "flood.log", []

    def has_ended() -> bool:
        sizes.append(size_of_files(tmp_path))
        with open(log, "rb") as file:
            file.seek(max(0, log.stat().st_size - 100))
            return b"the end\n" in file.read()

    watch_until(supervisor, has_ended, timeout_s=60)
    supervisor.watch()
    kept = size_of_files(tmp_path)
    figure(
        f"100 MiB at once: {kept / MIB:.0f} MiB kept, at most {max(sizes) / MIB:.0f} MiB between two checks"
    )
    assert kept <= 30 * MIB
    assert sorted(file.name for file in tmp_path.iterdir()) == ["flood.log", "flood.log.1", "flood.log.2"]


def test_start_removes_the_logs_of_the_last_run(supervisor: Supervisor, tmp_path: Path) -> None:
    for name in ("sleeper.log", "sleeper.log.1", "sleeper.log.2"):
        (tmp_path / name).write_text("old")
    supervisor.start([Process("sleeper", SLEEP)])
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("sleeper.log", "")]


def test_missing_log_is_no_error(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start([Process("sleeper", SLEEP)])
    (tmp_path / "sleeper.log").unlink()
    supervisor.watch()
    assert len(running(SLEEP)) == 1
