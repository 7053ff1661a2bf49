"""Keepers run side by side, die, and work without a worker: nothing is lost or done twice."""

import io
import os
import random
import signal
import time
from collections.abc import Callable

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from msaas.fragments import Fragments
from msaas.jobs import Callback, Job, JobState
from msaas_worker.attempt import Step
from tests.faults.fault_injector import Damage, Injection, as_settings
from tests.faults.songs import song
from tests.receiver import Receiver, silence, status
from tests.servers import free_port, wait_until
from tests.system import POLICY, STEMS, System
from tests.worker_pool import WorkerPool

Figure = Callable[[str], None]
CALLBACKS = 20
#: The first keeper sweeps at its start.
RETENTION_HOURS = "1"


def add_callbacks(system: System, url: str, *, number: int = CALLBACKS) -> set[bytes]:
    """Add callbacks of ended jobs, and return their bodies."""
    for each in range(number):
        system.outbox.add(Callback(url, {"n": each}), job_id=f"job-{each}")
    return {f'{{"n": {each}}}'.encode() for each in range(number)}


def pass_time(system: System, *, seconds: float) -> None:
    """Move the due time of every delivery into the past."""
    client = system.redis.client()
    for member in client.zrange("toWorkers:outbox", 0, -1):
        client.zincrby("toWorkers:outbox", -seconds, member)


def store_old_result(system: System, number: int) -> None:
    """Store a song and its stems, and date them back by a day."""
    store, folder = system.song_store, system.environment["STORE_DIR"]
    job_id = system.put(song(number))
    names = [store.put_stem(job_id, stem, io.BytesIO(b"mp3")).file for stem in STEMS]
    day_ago = time.time() - 24 * 3600
    os.utime(f"{folder}/{store.input_bucket}/{job_id}.mp3", (day_ago, day_ago))
    for name in names:
        os.utime(f"{folder}/{store.output_bucket}/{name}", (day_ago, day_ago))


def leave_fragments(system: System) -> None:
    """Store and publish a fragment of a job, then release the job."""
    job_id = system.send(song(100))
    consumer = system.queue.consumer("test")
    payload = consumer.take(timeout_s=1)
    assert payload is not None
    claim = consumer.claim(Job.decode(payload), payload=payload)
    fragments = Fragments(job_id=job_id, tag="tag", stems=STEMS)
    for stem in STEMS:
        system.song_store.fragments.put(fragments, stem, number=1, mp3=b"mp3")
    consumer.renew(claim, progress=0.1, fragments=fragments)
    consumer.release(claim, delay_s=3600)


def wait_for_sweeps(ports: list[int]) -> None:
    """Wait until each keeper has run each task twice more, with time for a second delivery or deletion."""
    wanted = {(port, task): task_runs(port, task) + 2 for port in ports for task in ("reaper", "fragments")}
    wait_until(lambda: all(task_runs(port, task) >= runs for (port, task), runs in wanted.items()))


def task_runs(port: int, task: str) -> float:
    """Return how often the task of the keeper with this port of metrics succeeded."""
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    labels = {"task": task, "outcome": "succeeded"}
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    found = [each for each in samples if each.name == "msaas_task_runs_total" and each.labels == labels]
    return found[0].value if found else 0.0


@pytest.mark.fault("K1")
def test_two_keepers_do_each_task_once(
    system: System, pool: WorkerPool, receiver: Receiver, figure: Figure
) -> None:
    leave_fragments(system)
    job_id = system.send(song())
    for number in range(1, 6):
        store_old_result(system, number)
    bodies = add_callbacks(system, receiver.url)
    ports = [free_port() for _ in range(2)]
    for port in ports:
        pool.start_keeper(ready=False, RETENTION_HOURS=RETENTION_HOURS, METRICS_PORT=str(port))
    killed = pool.start(ready=False, **as_settings(Injection(Damage.KILL, Step.SONG_DECODED, job_id=job_id)))
    for keeper in pool.keepers:
        keeper.wait_for_event("keeper_started")
    assert killed.exit_code() == -signal.SIGKILL
    pool.start()
    assert system.wait_for_end(job_id).attempts == 2
    wait_until(lambda: len(receiver.bodies) >= CALLBACKS)
    wait_until(lambda: not system.stored_fragments())
    wait_until(lambda: pool.events("old_objects_deleted"))
    wait_for_sweeps(ports)
    assert sorted(receiver.bodies) == sorted(bodies)
    assert len(pool.events("job_reaped", job_id=job_id)) == 1
    assert [line["objects"] for line in pool.events("old_objects_deleted")] == [5 * 5]
    assert not [line for keeper in pool.keepers for line in keeper.events(level="error")]
    delivering = sum(keeper.has_logged("webhook_delivered") for keeper in pool.keepers)
    figure(f"{CALLBACKS} callbacks sent once by {delivering} keepers, 1 job reaped once, 25 objects deleted")


@pytest.mark.fault("K2")
def test_keeper_killed_during_a_delivery_loses_no_callback(
    system: System, pool: WorkerPool, receiver: Receiver, figure: Figure
) -> None:
    receiver.answers = [silence, status(200)]
    pool.start_keeper()
    added = system.outbox.add(Callback(receiver.url, {"only": 1}), job_id="job")
    wait_until(lambda: receiver.received)
    pool.keepers[0].kill()
    pool.start_keeper()
    # Hidden until its visibility timeout.
    assert [each.state for each in system.outbox.deliveries("job")] == ["pending"]
    pass_time(system, seconds=30)
    wait_until(lambda: [each.state for each in system.outbox.deliveries("job")] == ["delivered"])
    assert [each.headers["webhook-id"] for each in receiver.received] == [added] * 2
    figure("killed during a POST: sent again under the same id after the visibility timeout")


@pytest.mark.long
@pytest.mark.fault("K2")
@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.chaos)])
def test_keepers_killed_at_random_instants_lose_nothing(
    system: System, pool: WorkerPool, receiver: Receiver, figure: Figure, kills: int
) -> None:
    chance = random.Random(3)
    ids = [system.send(song(number)) for number in range(4)]
    bodies = add_callbacks(system, receiver.url, number=200)
    faults = [Injection(Damage.KILL, Step.SONG_SEPARATED, job_id=job_id) for job_id in ids[:2]]
    met = pool.folder / "met"
    met.mkdir()
    pool.start_keeper(ready=False)
    pool.keep(1, **as_settings(*faults, met=met))
    for _ in range(kills):
        pool.keepers[-1].wait_for_event("keeper_started")
        time.sleep(chance.uniform(0.0, 0.3))
        pool.keepers[-1].kill()
        pool.start_keeper(ready=False)
    pool.keepers[-1].wait_for_event("keeper_started")
    pass_time(system, seconds=30)
    assert {each.state for each in system.wait_for_ends(*ids)} == {JobState.DONE}
    wait_until(lambda: bodies <= set(receiver.bodies))
    ids_by_body = {each.body: each.headers["webhook-id"] for each in receiver.received}
    assert all(ids_by_body[each.body] == each.headers["webhook-id"] for each in receiver.received)
    system.wait_until_idle()
    system.assert_nothing_left()
    sent = f"{len(bodies)}/{len(bodies)} callbacks sent ({len(receiver.bodies)} POSTs)"
    figure(f"{kills} kills: {sent}, 4/4 jobs done")


@pytest.mark.fault("K3")
def test_callbacks_and_retention_run_without_a_worker(
    system: System, pool: WorkerPool, receiver: Receiver, figure: Figure
) -> None:
    receiver.answers = [status(500), status(200)]
    store_old_result(system, 1)
    leave_fragments(system)
    keeper = pool.start_keeper(RETENTION_HOURS=RETENTION_HOURS)
    system.outbox.add(Callback(receiver.url, {"only": 1}), job_id="job")
    keeper.wait_for_event("webhook_failed", level="info", attempt=1)
    pass_time(system, seconds=10)
    keeper.wait_for_event("webhook_delivered", attempt=2)
    keeper.wait_for_event("old_objects_deleted", objects=5)
    wait_until(lambda: not system.stored_fragments())
    # The song of the delayed job is spared.
    assert len(list(system.song_store.songs())) == 1
    figure("callback delivered at the 2nd attempt, 5 old objects deleted, fragments collected")


@pytest.mark.fault("K4")
def test_job_of_a_dead_worker_is_back_after_its_lease(
    system: System, pool: WorkerPool, figure: Figure
) -> None:
    job_id = system.send(song(seconds=20))
    pool.start_keeper(ready=False)
    worker = pool.start(ENGINE_PACE="1")
    pool.keepers[0].wait_for_event("keeper_started")
    system.wait_for_progress(job_id, above=0.02)
    worker.kill()
    killed_at = time.monotonic()
    wait_until(lambda: system.status(job_id).state is JobState.QUEUED)
    took_s = time.monotonic() - killed_at
    assert took_s <= POLICY.lease_s + POLICY.sweep_s + 1
    figure(
        f"back {took_s:.1f} s after the kill (lease {POLICY.lease_s:g} s, sweep every {POLICY.sweep_s:g} s)"
    )
