"""Workers are killed at random and at every step: no song is lost, stuck or half stored."""

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from msaas.jobs import Callback, Job, JobState
from msaas_worker.attempt import Step
from tests.faults.fault_injector import Damage, Injection, as_settings
from tests.faults.songs import TUNES, song
from tests.receiver import Receiver
from tests.servers import wait_until
from tests.system import POLICY, System
from tests.worker_pool import WorkerPool

Figure = Callable[[str], None]
Reference = dict[int, dict[str, bytes]]
# A dozen starts of a worker, one after the other, take minutes on a crowded machine.
pytestmark = pytest.mark.timeout(900)
#: Another worker has the job after this time.
RECOVERY_S = POLICY.lease_s + 15


def assert_all_done(system: System, ids: list[str], reference: Reference) -> None:
    """Every job is done, its stems are those of a run without faults, and nothing is left behind."""
    for number, job_id in enumerate(ids):
        status = system.status(job_id)
        assert status.state is JobState.DONE, status
        assert system.manifest(job_id).job_id == job_id
        assert system.stems(job_id) == reference[number % TUNES]
    system.wait_until_idle()
    system.assert_nothing_left()


# R1


def survive_random_kills(
    system: System, pool: WorkerPool, reference: Reference, *, jobs: int, workers: int
) -> str:
    """Kill a worker for every fourth job, check all results and return the figures."""
    ids = [system.send(song(number)) for number in range(jobs)]
    # A kill counts as an attempt: chance must not use up the attempts of a good job.
    attempts = {"MAX_ATTEMPTS": "50"}
    pool.start_keeper(ready=False, **attempts)
    pool.keep(workers, ENGINE_PACE="1", **attempts)
    began = time.monotonic()
    kills = pool.kill_busy(kills=jobs // 4, until=lambda: all(map(system.has_ended, ids)))
    system.wait_for_ends(*ids, timeout_s=60 + 6 * jobs)
    slowest_s = max(recoveries_s(pool))
    pool.stop_keeping()
    assert_all_done(system, ids, reference)
    assert kills == jobs // 4
    assert slowest_s <= RECOVERY_S
    return (
        f"{jobs}/{jobs} done in {time.monotonic() - began:.0f} s, {kills} kills, slowest recovery "
        f"{slowest_s:.1f} s (lease {POLICY.lease_s:g} s)"
    )


def recoveries_s(pool: WorkerPool) -> list[float]:
    """Return the time from the last log line of a dead worker to the return of its job, for each such job."""
    found = []
    for reaped in pool.events("job_reaped"):
        at, job_id = reaped["time"], reaped["job_id"]
        lasts = [
            worker.events()[-1]["time"]
            for worker in pool.workers
            if worker.events("job_claimed", job_id=job_id)
        ]
        before = [last for last in lasts if last < at]
        # There is none if the worker died before its line on the claim.
        found += [seconds_between(max(before), at)] if before else []
    return found


def seconds_between(before: str, after: str) -> float:
    return (datetime.fromisoformat(after) - datetime.fromisoformat(before)).total_seconds()


@pytest.mark.fault("R1")
def test_random_kills_lose_no_job(
    system: System, pool: WorkerPool, reference: Reference, figure: Figure
) -> None:
    figure(survive_random_kills(system, pool, reference, jobs=8, workers=2))


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.fault("R1")
def test_random_kills_lose_none_of_200_jobs(
    system: System, pool: WorkerPool, reference: Reference, figure: Figure
) -> None:
    figure(survive_random_kills(system, pool, reference, jobs=200, workers=3))


# R2

KILLED_AT = [
    (Step.CLAIMED, 1),
    (Step.SONG_FETCHED, 1),
    (Step.SONG_DECODED, 1),
    (Step.SONG_SEPARATED, 1),
    (Step.STEM_STORED, 1),
    (Step.STEM_STORED, 4),
    (Step.MANIFEST_STORED, 1),
    (Step.FINISHED, 1),
]


@pytest.mark.fault("R2")
def test_kill_after_any_step_loses_nothing(
    system: System, pool: WorkerPool, reference: Reference, receiver: Receiver, tmp_path: Path, figure: Figure
) -> None:
    ids = [system.put(song(number)) for number in range(len(KILLED_AT))]
    faults = [
        Injection(Damage.KILL, step, number, job_id)
        for (step, number), job_id in zip(KILLED_AT, ids, strict=True)
    ]
    # Of any job: the keeper may be first at the callback of one.
    faults.append(Injection(Damage.KILL, Step.WEBHOOK_DELIVERED))
    met = tmp_path / "met"
    met.mkdir()
    pool.start_keeper(ready=False, MAX_ATTEMPTS="10")
    pool.keep(2, MAX_ATTEMPTS="10", **as_settings(*faults, met=met))
    bodies = {f'{{"n": {number}}}'.encode() for number in range(len(ids))}
    for number, job_id in enumerate(ids):
        system.queue.enqueue(Job(job_id=job_id, callback=Callback(receiver.url, {"n": number})))
    system.wait_for_ends(*ids)
    wait_until(lambda: bodies <= set(receiver.bodies), timeout_s=180)
    wait_until(lambda: len(list(met.iterdir())) == len(faults), timeout_s=180)
    assert_all_done(system, ids, reference)
    attempts = [system.status(job_id).attempts for job_id in ids]
    # A kill after the end of a job costs it no attempt.
    assert min(attempts[: KILLED_AT.index((Step.FINISHED, 1))]) >= 2
    figure(f"{len(faults)} points, 0 lost, 0 wrong, attempts {attempts}")


# R10, R11


@pytest.mark.fault("R10")
def test_job_delivered_50_times_is_done_once(
    system: System, pool: WorkerPool, receiver: Receiver, figure: Figure
) -> None:
    job_id = system.put(song())
    message = Job(job_id=job_id, callback=Callback(receiver.url, {"one": "only"})).encode()
    for _ in range(3):
        pool.start(ready=False)
    for worker in pool.workers:
        worker.wait_for_event("worker_started")
    # Those that come during the work are refused, later ones find it done and its callback delivered.
    for deliveries in (40, 10):
        system.push(*[message] * deliveries)
        wait_until(lambda: system.has_ended(job_id) and not system.queue.depth().waiting)
        system.wait_until_idle()
        wait_until(lambda: receiver.bodies)
    # Without a keeper, each worker looks for callbacks after each job: all have looked by now.
    wait_until(lambda: not system.redis.client().zcard("toWorkers:outbox"))
    assert receiver.bodies == [b'{"one": "only"}']
    assert len({each.id for each in system.outbox.deliveries(job_id)}) == 1
    assert len(pool.events("song_separated", job_id=job_id)) == 1
    assert len(pool.events("manifest_stored", job_id=job_id)) == 1
    assert system.stems(job_id)
    system.assert_nothing_left()
    figure("50 deliveries, 3 workers: 1 run, 1 manifest, 1 callback id")


@pytest.mark.fault("R11")
@pytest.mark.parametrize("jobs", [6, pytest.param(20, marks=pytest.mark.chaos)])
def test_poison_job_is_dead_after_three_workers_and_good_jobs_are_done(
    system: System, pool: WorkerPool, figure: Figure, jobs: int
) -> None:
    poison = system.put(song(99))
    pool.start_keeper(ready=False)
    pool.keep(2, **as_settings(Injection(Damage.KILL, Step.SONG_DECODED, job_id=poison)))
    good = [system.send(song(number)) for number in range(jobs // 2)]
    system.queue.enqueue(Job(job_id=poison))
    good += [system.send(song(number)) for number in range(jobs // 2, jobs)]
    system.wait_for_ends(poison, *good)
    pool.stop_keeping()
    status = system.status(poison)
    assert status.error is not None
    assert (status.state, status.attempts, status.error.code) == (JobState.FAILED, 3, "attempts_exhausted")
    assert len(pool.events("job_claimed", job_id=poison)) == 3
    wait_until(lambda: pool.events("job_failed", job_id=poison, level="error"))
    assert {system.status(job_id).state for job_id in good} == {JobState.DONE}
    assert system.queue.depth().dead == 1
    system.assert_nothing_left()
    figure(f"dead after 3, {jobs}/{jobs} done")
