"""Real service processes that tests start, observe by their log lines, and kill."""

import json
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.servers import wait_until

ROOT = Path(__file__).parents[1]
#: A process on a crowded machine starts within this time.
_START_S = 120.0
#: `HEAP_MAX_SIZE` of glibc's arena.c.
_HEAP_BYTES = 64 << 20


class ServiceProcess:
    """A process that writes one JSON object a line into `log`."""

    def __init__(self, command: list[str], *, environment: dict[str, str], log: Path) -> None:
        self.log = log
        self.started_at = datetime.now(UTC)
        self._events: list[dict[str, Any]] = []
        self._read_bytes = 0
        self._lock = threading.Lock()
        with open(log, "wb") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
            )

    # Log lines

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def events(self, event: str | None = None, **fields: Any) -> list[dict[str, Any]]:
        """Return the log lines with this event and these fields, all by default."""
        with self._lock:
            self._read_new_lines()
        wanted = {**fields, **({"event": event} if event else {})}
        return [each for each in self._events if all(each.get(name) == wanted[name] for name in wanted)]

    def _read_new_lines(self) -> None:
        with open(self.log, "rb") as log:
            log.seek(self._read_bytes)
            lines, _, _ = log.read().rpartition(b"\n")
        self._read_bytes += len(lines) + 1 if lines else 0
        for line in lines.splitlines():
            with suppress(ValueError):
                found = json.loads(line)
                if isinstance(found, dict) and "event" in found:
                    self._events.append(found)

    def has_logged(self, event: str, **fields: Any) -> bool:
        return bool(self.events(event, **fields))

    def wait_for_event(self, event: str, *, timeout_s: float = _START_S, **fields: Any) -> None:
        """Wait for a log line.

        Raises:
            TimeoutError, RuntimeError: it did not come in time, or the process ended before.
        """
        try:
            wait_until(lambda: self.has_logged(event, **fields) or not self.is_alive(), timeout_s=timeout_s)
        except TimeoutError:
            raise TimeoutError(f"no event {event} {fields}:\n{self.output()[-3000:]}") from None
        if not self.has_logged(event, **fields):
            raise RuntimeError(f"the process ended before event {event}:\n{self.output()[-3000:]}")

    def start_s(self) -> float:
        """Return the time from the start to the event `<service>_started`, 0 without that event."""
        ready = [each for each in self.events() if each["event"].endswith("_started")]
        return (datetime.fromisoformat(ready[0]["time"]) - self.started_at).total_seconds() if ready else 0.0

    # Signals

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def is_stopped(self) -> bool:
        """Return whether SIGSTOP took effect."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        return stat.rsplit(")", 1)[1].split()[0] == "T"

    def kill(self) -> None:
        if self.is_alive():
            self.process.kill()
        self.process.wait()

    def exit_code(self, *, timeout_s: float = _START_S) -> int:
        return self.process.wait(timeout=timeout_s)

    def terminate(self, *, timeout_s: float = 30.0) -> float:
        """Send SIGTERM and return the time until the process ended with code 0, in s."""
        began = time.monotonic()
        self.signal(signal.SIGTERM)
        assert self.exit_code(timeout_s=timeout_s) == 0, self.output()[-3000:]
        return time.monotonic() - began


class WorkerProcess(ServiceProcess):
    """`python -m msaas_worker`, or another command that runs a worker.

    With `disk` the process gets a small disk of its own: `4m:/folder` mounts 4 MB there.
    """

    def __init__(
        self, *arguments: str, environment: dict[str, str], log: Path, disk: str | None = None
    ) -> None:
        command = [sys.executable, *(arguments or ("-m", "msaas_worker"))]
        super().__init__([*_mount(disk), *command], environment=environment, log=log)


class KeeperProcess(ServiceProcess):
    """`python -m msaas_keeper`."""

    def __init__(self, *, environment: dict[str, str], log: Path) -> None:
        super().__init__([sys.executable, "-m", "msaas_keeper"], environment=environment, log=log)


def further_heaps(pid: int) -> list[str]:
    """Return the mappings of glibc's arenas but the main one: 64 MiB each, in part without access."""
    lines = [line.split() for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
    places = [tuple(int(end, 16) for end in line[0].split("-")) for line in lines]
    return [
        " ".join(line)
        for line, (start, end), (next_start, next_end) in zip(lines, places, places[1:], strict=False)
        if start % _HEAP_BYTES == 0 and end == next_start and next_end == start + _HEAP_BYTES
    ]


def _mount(disk: str | None) -> list[str]:
    if not disk:
        return []
    size, folder = disk.split(":")
    mount = f'mount -t tmpfs -o size={size} tmpfs {folder} && exec "$@"'
    return ["unshare", "-rm", "sh", "-c", mount, "sh"]
