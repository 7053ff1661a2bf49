"""Thousands of short jobs while everything fails now and then: nothing is lost, and nothing grows."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from msaas.jobs import JobState
from tests.faults.conftest import POLICY, House, patiently
from tests.faults.songs import TUNES, song
from tests.faults.test_songs_are_hostile import files_in
from tests.faults.workers import Crew, Worker
from tests.servers import wait_until

Figure = Callable[[str], None]
JOBS = int(os.environ.get("SOAK_JOBS", "1000"))
#: What an allocator may keep; a leak of a song's samples would be 100 times as much over the run.
GROWTH_BYTES = 24 * 2**20
#: Keys that are not the state of a job: lists, sets, names of workers.
FURTHER_KEYS = 200
#: Enough for all workers; havoc ends when the last job is sent, and few shall then be left.
WAITING = 10


class Havoc(threading.Thread):
    """Kills, stops and starts whatever it may, until it is told to end."""

    def __init__(self, house: House, crew: Crew, *, spared: Worker) -> None:
        super().__init__(daemon=True)
        self._house, self._crew, self._spared = house, crew, spared
        self._over = threading.Event()
        self._chance = random.Random(5)
        self.done: dict[str, int] = {"kill": 0, "stop": 0, "redis": 0}

    def run(self) -> None:
        while not self._over.wait(self._chance.uniform(2, 6)):
            what = self._chance.choices(["kill", "stop", "redis"], [5, 3, 1])[0]
            self.done[what] += getattr(self, f"_{what}")()

    def end(self) -> None:
        self._over.set()
        self.join()

    def _victims(self) -> list[Worker]:
        """One that is up, if there is any: whoever is killed while it starts has nothing to lose."""
        others = [
            each for each in self._crew.alive() if each is not self._spared and each.said("job_claimed")
        ]
        return [self._chance.choice(others)] if others else []

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
        self._house.redis.kill()
        time.sleep(0.5)
        self._house.redis.start()
        return 1


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.fault("L1")
def test_a_long_run_among_faults_loses_nothing_and_grows_nothing(
    house: House, crew: Crew, figure: Figure
) -> None:
    spared = crew.start(MAX_ATTEMPTS="50")
    crew.keep(3, MAX_ATTEMPTS="50")
    process = psutil.Process(spared.process.pid)
    havoc = Havoc(house, crew, spared=spared)
    havoc.start()
    began, ids, rss_early = time.monotonic(), [], 0
    for number in range(JOBS):
        ids.append(house.send(song(number, seconds=0.5)))
        while patiently(lambda: house.queue.depth().waiting) > WAITING:
            time.sleep(0.2)
        if number == JOBS // 5:
            rss_early = process.memory_info().rss
    havoc.end()
    statuses = house.ended(*ids, timeout_s=600)
    took_s = time.monotonic() - began
    assert {each.state for each in statuses} == {JobState.DONE}
    stems = {tune: house.stems(ids[tune]) for tune in range(TUNES)}
    assert all(house.stems(job_id) == stems[number % TUNES] for number, job_id in enumerate(ids))
    wait_until(lambda: house.queue.depth().in_flight == 0, timeout_s=30)
    house.nothing_is_left()
    growth = process.memory_info().rss - rss_early
    further = house.redis.client().dbsize() - len(ids)
    figure(
        f"{len(ids)}/{len(ids)} done in {took_s:.0f} s among {havoc.done}; the spared worker grew "
        f"{growth / 2**20:+.1f} MiB, {further} keys beside the jobs' states"
    )
    assert havoc.done["kill"]
    assert growth <= GROWTH_BYTES
    assert further <= FURTHER_KEYS
    nothing_stays_on_the_disk(crew, len(ids), figure)


def nothing_stays_on_the_disk(crew: Crew, jobs: int, figure: Figure) -> None:
    crew.stop_keeping()
    for worker in crew.alive():
        worker.terminate()
    # Whoever was killed is tidied up after by the next to start.
    crew.start().terminate()
    left = files_in(Path(crew.scratch))
    assert left == set()
    figure(f"{len(left)} files left after {jobs} jobs and {len(crew.workers)} workers")
