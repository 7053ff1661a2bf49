"""Report of the start: each step as it happens, then where everything is and which model runs."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msaas_local.processes import Connection
from msaas_local.stack import Stack

_FIRST_REMINDER_S = 5.0


@dataclass
class StartReport:
    stack: Stack
    say: Callable[[str], None]
    is_ready: bool = False
    _is_accepting: bool = False
    _remind_at_s: float = _FIRST_REMINDER_S

    def begin(self) -> None:
        names = ", ".join(process.name for process in self.stack.processes)
        self.say(f"starting {names}")

    def update(self) -> bool:
        """Say what has changed since the last call; return whether the stack is ready."""
        if not self.is_ready:
            self._report(self.stack.live_workers())
        return self.is_ready

    def _report(self, live_workers: int | None) -> None:
        settings = self.stack.settings
        if live_workers is None:
            return self._remind("waiting for the API")
        if not self._is_accepting:
            self._is_accepting = True
            self._say_at(f"the API accepts songs at {settings.url}, the workers load {settings.demucs_model}")
        if live_workers < settings.workers:
            return self._remind(f"{live_workers} of {settings.workers} workers are ready")
        self.is_ready = True
        for line in ready_lines(self.stack):
            self.say(line)

    def _remind(self, text: str) -> None:
        if self.stack.age_s >= self._remind_at_s:
            self._remind_at_s *= 2
            self._say_at(text)

    def _say_at(self, text: str) -> None:
        self.say(f"{self.stack.age_s:.1f} s: {text}")


def ready_lines(stack: Stack) -> list[str]:
    """Return the lines that name the API, the queue, the store and the model. Commands can be pasted."""
    settings, connection = stack.settings, stack.connection
    return [
        f"ready at {settings.url} after {stack.age_s:.1f} s; Ctrl-C stops it",
        f"  queue  {_redis_cli(connection)}",
        f"  store  {next(iter(connection.store.values()))}",
        f"  logs   {settings.log_dir}",
        f"  model  {describe_model(stack)}",
        f"  try    {connection.assignments()} .venv/bin/python worker/send-request.py",
    ]


def _redis_cli(connection: Connection) -> str:
    host = connection.queue.get("REDIS_HOST")
    return f"redis-cli {f'-h {host} ' if host else ''}-p {connection.redis_port}"


def describe_model(stack: Stack) -> str:
    """Return the model that runs; if it is not the one that was asked for, with the reason."""
    asked, runs = stack.settings.demucs_model, stack.stand_in()
    log = stack.settings.log_dir / "worker-1.log"
    if runs:
        return (
            f"{runs} runs in place of {asked}, and its stems are weaker: {runs} is the small model of this "
            f"package. {_reason(log, 'because') or f'The weights of {asked} were not found.'}"
        )
    missing = _reason(log, "reason", event="model_unavailable")
    return f"{asked} is missing, every song will fail. {missing}" if missing else asked


def _reason(log: Path, field: str, *, event: str | None = None) -> str | None:
    """Return the first sentence of the latest reason in the log of a worker."""
    reasons = [
        str(line[field])
        for line in _read_json_lines(log)
        if line.get(field) and event in (None, line.get("event"))
    ]
    return reasons[-1].partition(". ")[0].rstrip(".") + "." if reasons else None


def _read_json_lines(log: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines that are JSON objects; libraries may print others."""
    for text in log.read_text(errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            yield line
