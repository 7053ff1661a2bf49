"""Worker and keeper processes of one system, kept alive as an orchestrator does, and killed in the end."""

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.processes import KeeperProcess, ServiceProcess, WorkerProcess

#: A worker with a quick engine, in place of torch and a model.
QUICK_WORKER = ("-m", "tests.faults.worker_process")
REAL_WORKER = ("-m", "msaas_worker")
_LOOK_S = 0.1


class Environment(Protocol):
    """What a pool needs of a system."""

    environment: dict[str, str]


@dataclass
class WorkerPool:
    """`command` runs a worker. Logs and scratch are in `folder`."""

    system: Environment
    folder: Path
    command: tuple[str, ...] = QUICK_WORKER
    workers: list[WorkerProcess] = field(default_factory=list)
    keepers: list[KeeperProcess] = field(default_factory=list)
    _keeping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def scratch(self) -> Path:
        return self.folder / "scratch"

    @property
    def claims(self) -> Path:
        """Folder of a file for each quick worker that claimed a job, by process id."""
        return self.folder / "claims"

    def start(
        self,
        *command: str,
        ready: bool = True,
        disk: str | None = None,
        **settings: str,
    ) -> WorkerProcess:
        """Start a worker, and wait until it is ready unless told otherwise."""
        worker = WorkerProcess(
            *(command or self.command),
            environment=self._environment(settings),
            log=self.folder / f"worker-{len(self.workers)}.log",
            disk=disk,
        )
        self.workers.append(worker)
        if ready:
            worker.wait_for_event("worker_started")
        return worker

    def start_keeper(self, *, ready: bool = True, **settings: str) -> KeeperProcess:
        keeper = KeeperProcess(
            environment=self._environment(settings), log=self.folder / f"keeper-{len(self.keepers)}.log"
        )
        self.keepers.append(keeper)
        if ready:
            keeper.wait_for_event("keeper_started")
        return keeper

    def _environment(self, settings: dict[str, str]) -> dict[str, str]:
        self.scratch.mkdir(parents=True, exist_ok=True)
        self.claims.mkdir(exist_ok=True)
        inherited = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        ours = {"TMPDIR": str(self.scratch), "OMP_NUM_THREADS": "1", "CLAIMS": str(self.claims)}
        return {**inherited, **ours, **self.system.environment, **settings}

    def alive(self) -> list[WorkerProcess]:
        return [worker for worker in self.workers if worker.is_alive()]

    def busy(self) -> list[WorkerProcess]:
        """Return the living quick workers that claimed a job."""
        return [each for each in self.alive() if (self.claims / str(each.process.pid)).exists()]

    def kill_busy(self, *, kills: int, until: Callable[[], bool]) -> int:
        """Kill quick workers during their jobs, at random, until the condition holds. Return their number."""
        chance, killed = random.Random(7), 0
        while killed < kills and not until():
            time.sleep(chance.uniform(0.1, 1.0))
            if busy := self.busy():
                chance.choice(busy).kill()
                killed += 1
        return killed

    def keep(self, number: int, **settings: str) -> None:
        """Keep this number of workers alive from now on."""
        self._keeping.set()

        def look() -> None:
            while self._keeping.is_set():
                for _ in range(number - len(self.alive())):
                    self.start(ready=False, **settings)
                time.sleep(_LOOK_S)

        self._thread = threading.Thread(target=look, daemon=True)
        self._thread.start()

    def stop_keeping(self) -> None:
        self._keeping.clear()
        if self._thread:
            self._thread.join()

    def close(self) -> None:
        """Kill every process."""
        self.stop_keeping()
        for process in [*self.workers, *self.keepers]:
            with contextlib.suppress(ProcessLookupError):
                process.signal(signal.SIGCONT)
            process.kill()

    def events(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        """Return the log lines of all processes with this event and these fields."""
        processes: list[ServiceProcess] = [*self.workers, *self.keepers]
        return [each for process in processes for each in process.events(event, **fields)]


@contextlib.contextmanager
def open_pool(
    system: Environment, folder: Path, *, command: tuple[str, ...] = QUICK_WORKER
) -> Iterator[WorkerPool]:
    """Yield a pool without processes; kill those that it has in the end."""
    folder.mkdir(parents=True, exist_ok=True)
    pool = WorkerPool(system, folder, command)
    try:
        yield pool
    finally:
        pool.close()
