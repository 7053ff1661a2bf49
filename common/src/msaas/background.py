"""Background tasks: one helper for every loop, so that all of them fail, log and count in the same way."""

import contextvars
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from msaas.errors import Unavailable
from msaas.heartbeat import Beat
from msaas.logs import clear_log, get_logger
from msaas.metrics import TASK_RUNS

#: A task that failed this often in a row counts as broken: `Tasks.are_healthy` is false then.
_BROKEN_AFTER = 5

log = get_logger()


def spawn(target: Callable[..., Any], *args: Any, name: str) -> threading.Thread:
    """Start a daemon thread that inherits the log context of the caller."""
    context = contextvars.copy_context()
    thread = threading.Thread(target=lambda: context.run(target, *args), name=name, daemon=True)
    thread.start()
    return thread


@dataclass
class Task:
    """A task that runs again and again; `failures` counts those since its last success."""

    name: str
    run: Callable[[], Any]
    failures: int = 0
    #: The last failure was an outage, which its own event reported.
    is_waiting: bool = False

    def run_once(self) -> None:
        """Run the task. Any exception is logged, counted, and ends here."""
        try:
            self.run()
        except Unavailable as error:
            if not self.is_waiting:
                log.warning("task_delayed", task=self.name, reason=str(error))
            self.is_waiting = True
            TASK_RUNS.labels(self.name, "delayed").inc()
        except Exception:
            self.failures += 1
            log.exception("task_failed", task=self.name, failures=self.failures)
            TASK_RUNS.labels(self.name, "failed").inc()
        else:
            self.failures, self.is_waiting = 0, False
            TASK_RUNS.labels(self.name, "succeeded").inc()


@dataclass
class Tasks:
    """The background tasks of a process. They end when `stopping` is set."""

    stopping: threading.Event
    _tasks: list[Task] = field(default_factory=list)

    def every(
        self, seconds: float, run: Callable[[], Any], *, name: str, wake: threading.Event | None = None
    ) -> threading.Thread:
        """Call `run` now and then every `seconds`. Sooner when `wake` is set."""
        task = Task(name, run)
        self._tasks.append(task)
        return spawn(self._loop, seconds, task, wake, name=name)

    def are_healthy(self) -> bool:
        """Return whether no task has failed five times in a row. Outages do not count."""
        return all(task.failures < _BROKEN_AFTER for task in self._tasks)

    def guard(self, beat: Beat) -> Beat:
        """Return a beat that is silent while a task is broken: the liveness probe then fails."""

        def guarded(**facts: object) -> None:
            if self.are_healthy():
                beat(**facts)

        return guarded

    def _loop(self, seconds: float, task: Task, wake: threading.Event | None) -> None:
        # A task outlives the job that started it.
        clear_log()
        while not self.stopping.is_set():
            task.run_once()
            if wake is None:
                self.stopping.wait(seconds)
            else:
                self._wait_for(wake, seconds)

    def _wait_for(self, wake: threading.Event, seconds: float) -> None:
        """Wait until `wake` or `stopping` is set: the process that stops sets both."""
        deadline = time.monotonic() + seconds
        while not self.stopping.is_set() and time.monotonic() < deadline:
            if wake.wait(min(1.0, max(0.0, deadline - time.monotonic()))):
                wake.clear()
                return
