"""Report of the start: each step as it happens, then where everything is and which model runs."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msaas_local.processes import Connection
from msaas_local.stack import Stack

_FIRST_REMINDER_S = 5.0
#: Events in the log of a worker, and the text for each.
_STEPS = {"torch_loading": "loads torch", "model_loading": "loads {model}", "worker_started": "is ready"}
#: Events of a model that cannot be loaded.
_MISSING = ("model_replaced", "model_fetch_failed", "model_unavailable")
_FIRST_WORKER = "worker-1"


@dataclass
class StartReport:
    stack: Stack
    say: Callable[[str], None]
    #: Leave out the addresses: a demo ends before they are of use.
    is_brief: bool = False
    is_ready: bool = False
    _is_accepting: bool = False
    _remind_at_s: float = _FIRST_REMINDER_S
    _seen_lines: int = 0

    def begin(self) -> None:
        names = ", ".join(process.name for process in self.stack.processes)
        self.say(f"starting {names}")

    def update(self) -> bool:
        """Say what has changed since the last call. Return whether the stack is ready."""
        if not self.is_ready:
            self._report(self.stack.live_workers())
        return self.is_ready

    def _report(self, live_workers: int | None) -> None:
        settings = self.stack.settings
        if live_workers is not None and not self._is_accepting:
            self._is_accepting = True
            self._say_at(f"the API accepts songs at {settings.url}")
        self._report_worker()
        if live_workers is None:
            self._remind("waiting for the API")
        elif live_workers < settings.workers:
            self._remind(f"{live_workers} of {settings.workers} workers are ready")
        else:
            self.is_ready = True
            self._say_ready()

    def _say_ready(self) -> None:
        self.say(f"ready at {self.stack.settings.url} after {self.stack.age_s:.1f} s")
        addresses = [] if self.is_brief else list_addresses(self.stack)
        for label, text in [*addresses, *zip(("model", "why"), describe_model(self.stack), strict=False)]:
            self.say(f"  {label:<5}  {text}")
        if not self.is_brief:
            self.say("  stop   Ctrl-C")

    def _report_worker(self) -> None:
        """Say the steps of the first worker: all workers take the same ones."""
        lines = list(_read_json_lines(_log_of_first_worker(self.stack)))
        for line in lines[self._seen_lines :]:
            if step := _STEPS.get(line.get("event", "")):
                self._say_at(f"{_FIRST_WORKER} {step.format_map(line)}")
        self._seen_lines = len(lines)

    def _remind(self, text: str) -> None:
        if self.stack.age_s >= self._remind_at_s:
            self._remind_at_s *= 2
            self._say_at(text)

    def _say_at(self, text: str) -> None:
        self.say(f"{self.stack.age_s:.1f} s: {text}")


def list_addresses(stack: Stack) -> list[tuple[str, str]]:
    """Return a label and a text each: the queue, the store, the logs. Commands can be pasted."""
    connection = stack.connection
    return [
        ("queue", _redis_cli(connection)),
        ("store", next(iter(connection.store.values()))),
        ("logs", str(stack.settings.log_dir)),
        ("try", f"{connection.assignments()} .venv/bin/python worker/send-request.py"),
    ]


def _redis_cli(connection: Connection) -> str:
    host = connection.queue.get("REDIS_HOST")
    return f"redis-cli {f'-h {host} ' if host else ''}-p {connection.redis_port}"


def describe_model(stack: Stack) -> list[str]:
    """Return the model that runs. If it is not the one that was asked for, the reason as a second text."""
    asked, runs = stack.settings.demucs_model, stack.stand_in()
    reason = _reason(_log_of_first_worker(stack), model=asked)
    if runs:
        text = f"{runs} runs in place of {asked}. It is a small model, and its stems are weaker."
        return [text, reason or f"The weights of {asked} were not found."]
    if _is_being_downloaded(_log_of_first_worker(stack), model=asked):
        return [f"{asked} is being downloaded. Songs wait for it."]
    return [f"{asked} is missing, and every song will fail.", reason] if reason else [asked]


def _log_of_first_worker(stack: Stack) -> Path:
    return stack.settings.log_dir / f"{_FIRST_WORKER}.log"


def _reason(log: Path, *, model: str) -> str | None:
    """Return the first sentence of the latest reason why the model cannot be loaded."""
    reasons = [
        str(line.get("reason"))
        for line in _read_json_lines(log)
        if line.get("event") in _MISSING and line.get("model") == model
    ]
    return reasons[-1].partition(". ")[0].rstrip(".") + "." if reasons else None


def _is_being_downloaded(log: Path, *, model: str) -> bool:
    events = [
        line["event"]
        for line in _read_json_lines(log)
        if line.get("event") in (*_MISSING, "model_download_started", "model_found")
        and line.get("model") == model
    ]
    return events[-1:] == ["model_download_started"]


def _read_json_lines(log: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines that are JSON objects. Libraries may print others."""
    for text in log.read_text(errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            yield line
