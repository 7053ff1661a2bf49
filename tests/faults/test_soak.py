"""Thousands of short jobs among random faults: nothing is lost, and nothing grows."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable

import psutil
import pytest

from msaas.jobs import JobState
from tests.faults.disk import files_in
from tests.faults.songs import TUNES, song
from tests.processes import ServiceProcess
from tests.system import POLICY, System, patiently
from tests.worker_pool import WorkerPool

Figure = Callable[[str], None]
JOBS = int(os.environ.get("SOAK_JOBS", "1000"))
#: An allocator may keep this. A leak of each song's samples would be 100 times as much.
GROWTH_BYTES = 24 * 2**20
#: Keys other than the state of a job: lists, sets, names of workers.
FURTHER_KEYS = 200
#: Enough for all workers. The faults end with the last enqueue, and few jobs shall be left then.
WAITING = 10


class Havoc(threading.Thread):
    """Kills and stops workers, kills keepers and Redis, at random times until `end`."""

    def __init__(self, system: System, pool: WorkerPool, *, spared: ServiceProcess) -> None:
        super().__init__(daemon=True)
        self._system, self._pool, self._spared = system, pool, spared
        self._over = threading.Event()
        self._chance = random.Random(5)
        self.done: dict[str, int] = {"kill": 0, "stop": 0, "redis": 0, "keeper": 0}

    def run(self) -> None:
        while not self._over.wait(self._chance.uniform(2, 6)):
            damage = self._chance.choices(list(self.done), [5, 3, 1, 1])[0]
            self.done[damage] += getattr(self, f"_{damage}")()

    def end(self) -> None:
        self._over.set()
        self.join()

    def _victims(self) -> list[ServiceProcess]:
        """Return one worker that claimed a job, if there is one."""
        busy = [each for each in self._pool.busy() if each is not self._spared]
        return [self._chance.choice(busy)] if busy else []

    def _kill(self) -> int:
        for victim in (victims := self._victims()):
            victim.kill()
        return len(victims)

    def _stop(self) -> int:
        for victim in (victims := self._victims()):
            victim.signal(signal.SIGSTOP)
            self._over.wait(POLICY.lease_s * 1.5)
            victim.signal(signal.SIGCONT)
        return len(victims)

    def _redis(self) -> int:
        self._system.redis.kill()
        time.sleep(0.5)
        self._system.redis.start()
        return 1

    def _keeper(self) -> int:
        self._pool.keepers[-1].kill()
        self._pool.start_keeper(ready=False, MAX_ATTEMPTS="50")
        return 1


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.fault("L1")
def test_long_run_among_faults_loses_nothing_and_grows_nothing(
    system: System, pool: WorkerPool, figure: Figure
) -> None:
    pool.start_keeper(MAX_ATTEMPTS="50")
    spared = pool.start(MAX_ATTEMPTS="50")
    pool.keep(3, MAX_ATTEMPTS="50")
    process = psutil.Process(spared.process.pid)
    havoc = Havoc(system, pool, spared=spared)
    havoc.start()
    began, ids, rss_early = time.monotonic(), [], 0
    for number in range(JOBS):
        ids.append(system.send(song(number, seconds=0.5)))
        while patiently(lambda: system.queue.depth().waiting) > WAITING:
            time.sleep(0.2)
        if number == JOBS // 5:
            rss_early = process.memory_info().rss
    havoc.end()
    statuses = system.wait_for_ends(*ids, timeout_s=600)
    took_s = time.monotonic() - began
    assert {each.state for each in statuses} == {JobState.DONE}
    stems = {tune: system.stems(ids[tune]) for tune in range(TUNES)}
    assert all(system.stems(job_id) == stems[number % TUNES] for number, job_id in enumerate(ids))
    system.wait_until_idle()
    system.assert_nothing_left()
    growth = process.memory_info().rss - rss_early
    further = system.redis.client().dbsize() - len(ids)
    figure(
        f"{len(ids)}/{len(ids)} done in {took_s:.0f} s among {havoc.done}; the spared worker grew "
        f"{growth / 2**20:+.1f} MiB, {further} keys beside the states of the jobs"
    )
    assert havoc.done["kill"]
    assert growth <= GROWTH_BYTES
    assert further <= FURTHER_KEYS
    assert_disk_is_empty(pool, len(ids), figure)


def assert_disk_is_empty(pool: WorkerPool, jobs: int, figure: Figure) -> None:
    pool.stop_keeping()
    for process in [*pool.alive(), pool.keepers[-1]]:
        process.terminate()
    # A new worker removes the files of those that were killed.
    pool.start().terminate()
    left = files_in(pool.scratch) - {"msaas-keeper-heartbeat"}
    assert left == set()
    figure(f"{len(left)} files left after {jobs} jobs and {len(pool.workers)} workers")
