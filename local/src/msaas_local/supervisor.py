"""A part that dies is back within a second; when the stack ends, no process is left."""

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

from msaas_local.parts import Part

_RESTART_AFTER_S = 0.5
#: A part that dies at once, again and again, is started less and less often.
_SLOWEST_RESTART_S = 30.0
_STEADY_AFTER_S = 10.0
#: A worker gives its job back within 5 s.
_GRACE_S = 10.0
_TAIL_LINES = 12
_PR_SET_PDEATHSIG = 1


@dataclass
class _Running:
    part: Part
    log: Path
    process: subprocess.Popen[bytes]
    started_at: float
    restart_at: float | None = None
    deaths: int = 0


@dataclass
class Supervisor:
    """Starts parts in order, restarts what dies, ends them in the reverse order."""

    log_dir: Path
    say: Callable[[str], None]
    #: No part speaks to the terminal.
    quiet: bool = False
    _running: list[_Running] = field(default_factory=list)

    def start(self, parts: Sequence[Part]) -> None:
        self.log_dir.mkdir(parents=True, exist_ok=True)
        for part in parts:
            log = self.log_dir / f"{part.name}.log"
            log.unlink(missing_ok=True)
            self._running.append(_Running(part, log, self._spawn(part, log), time.monotonic()))

    def watch(self) -> None:
        """Look after every part once."""
        now = time.monotonic()
        for running in self._running:
            if running.process.poll() is None:
                continue
            if running.restart_at is None:
                self._report_death(running, now)
            elif now >= running.restart_at:
                self._restart(running, now)

    def stop(self) -> None:
        for running in reversed(self._running):
            _end(running.process)
        self._running.clear()

    def _report_death(self, running: _Running, now: float) -> None:
        steady = now - running.started_at > _STEADY_AFTER_S
        running.deaths = 1 if steady else running.deaths + 1
        delay_s = min(_RESTART_AFTER_S * 2 ** max(0, running.deaths - 2), _SLOWEST_RESTART_S)
        running.restart_at = now + delay_s
        how = _how_it_ended(running.process.returncode)
        self.say(f"{running.part.name} {how}; it is started again in {delay_s:g} s.\n{_tail(running.log)}")

    def _restart(self, running: _Running, now: float) -> None:
        running.process = self._spawn(running.part, running.log)
        running.started_at, running.restart_at = now, None

    def _spawn(self, part: Part, log: Path) -> subprocess.Popen[bytes]:
        """Start a part in a process group of its own: Ctrl-C is the stack's to handle."""
        with open(log, "ab") as file:
            return subprocess.Popen(  # noqa: S603 - our own commands
                part.command,
                env={**os.environ, **part.env},
                stdin=subprocess.DEVNULL,
                stdout=sys.stdout.fileno() if part.speaks and not self.quiet else file,
                stderr=file,
                process_group=0,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )


def _die_with_parent() -> None:
    """A stack that is killed takes its parts along (prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _how_it_ended(returncode: int) -> str:
    if returncode < 0:
        return f"was killed by {signal.Signals(-returncode).name}"
    return f"ended with code {returncode}"


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    return "\n".join(f"    {line[:300]}" for line in lines)
