"""Supervisor: restarts a process that dies within 1 s, and leaves no process behind."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from msaas.printable import printable
from msaas_local import log_files
from msaas_local.processes import Process

_RESTART_AFTER_S = 0.5
#: Upper limit of the backoff of a process that dies again and again.
_MAX_RESTART_S = 30.0
_STEADY_AFTER_S = 10.0
#: A worker releases its job within 5 s.
GRACE_S = 10.0
_TAIL_LINES = 12
_PR_SET_PDEATHSIG = 1


@dataclass
class _Running:
    process: Process
    log: Path
    child: subprocess.Popen[bytes]
    started_at: float
    restart_at: float | None = None
    deaths: int = 0


@dataclass
class Supervisor:
    """Starts processes in order, restarts those that die, stops them in the reverse order."""

    log_dir: Path
    say: Callable[[str], None]
    #: All output goes to files.
    quiet: bool = False
    #: Before SIGKILL.
    grace_s: float = GRACE_S
    _running: list[_Running] = field(default_factory=list)

    def start(self, processes: Sequence[Process]) -> None:
        self.log_dir.mkdir(parents=True, exist_ok=True)
        for process in processes:
            log = self.log_dir / f"{process.name}.log"
            log_files.remove(log)
            self._running.append(_Running(process, log, self._spawn(process, log), time.monotonic()))

    def pids(self) -> dict[str, int]:
        """Return the process id of each process by its name."""
        return {running.process.name: running.child.pid for running in self._running}

    def watch(self) -> None:
        """Check every process and its log once, without waiting."""
        now = time.monotonic()
        for running in self._running:
            log_files.rotate(running.log)
            if running.child.poll() is None:
                continue
            if running.restart_at is None:
                self._report_death(running, now)
            elif now >= running.restart_at:
                self._restart(running, now)

    def stop(self) -> None:
        for running in reversed(self._running):
            _stop(running.child, grace_s=self.grace_s)
        self._running.clear()

    def _report_death(self, running: _Running, now: float) -> None:
        steady = now - running.started_at > _STEADY_AFTER_S
        running.deaths = 1 if steady else running.deaths + 1
        delay_s = min(_RESTART_AFTER_S * 2 ** max(0, running.deaths - 2), _MAX_RESTART_S)
        running.restart_at = now + delay_s
        how = _describe_end(running.child.returncode)
        self.say(f"{running.process.name} {how}; it restarts in {delay_s:g} s.\n{_tail(running.log)}")

    def _restart(self, running: _Running, now: float) -> None:
        running.child = self._spawn(running.process, running.log)
        running.started_at, running.restart_at = now, None

    def _spawn(self, process: Process, log: Path) -> subprocess.Popen[bytes]:
        """Start a process in its own process group: Ctrl-C reaches the supervisor only."""
        with open(log, "ab") as file:
            return subprocess.Popen(  # noqa: S603 - our own commands
                process.command,
                env={**os.environ, **process.env},
                stdin=subprocess.DEVNULL,
                stdout=sys.stdout.fileno() if process.is_on_terminal and not self.quiet else file,
                stderr=file,
                process_group=0,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )


def _die_with_parent() -> None:
    """Get SIGTERM when the supervisor is killed (prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _stop(child: subprocess.Popen[bytes], *, grace_s: float) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(grace_s)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _describe_end(returncode: int) -> str:
    if returncode < 0:
        return f"was killed by {signal.Signals(-returncode).name}"
    return f"ended with code {returncode}"


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    return "\n".join(f"    {printable(line, max_chars=300)}" for line in lines)
