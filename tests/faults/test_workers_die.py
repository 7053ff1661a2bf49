"""Workers are killed, stopped and hung at random and at every step: no song is lost, stuck or half there."""

import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest

from msaas.errors import ObjectNotFound, StoreUnavailable, TrackNotFound
from msaas.jobs import Callback, Job, JobState
from msaas.tracks import Tracks
from tests.faults.conftest import POLICY, STEMS, House
from tests.faults.receiver import Receiver
from tests.faults.songs import TUNES, song
from tests.faults.workers import Crew, Worker
from tests.servers import rclone_running, wait_until
from tests.wire import Wire

Figure = Callable[[str], None]
Reference = dict[int, dict[str, bytes]]
# A dozen starts of a worker, one after the other, take minutes on a crowded machine.
pytestmark = pytest.mark.timeout(900)
#: Somebody else notices, and does it again.
RECOVERY_S = POLICY.lease_s + 15


def check_all(house: House, ids: list[str], reference: Reference) -> None:
    """Every one is done, its stems are those of an undisturbed run, and nothing is left behind."""
    for number, job_id in enumerate(ids):
        status = house.status(job_id)
        assert status.state is JobState.DONE, status
        assert house.manifest(job_id).songhash == job_id
        assert house.stems(job_id) == reference[number % TUNES]
    house.nothing_is_left()


def kill_busy_workers(crew: Crew, until: Callable[[], bool], *, kills: int) -> int:
    """Kill workers amid their jobs, at random; return how many."""
    chance = random.Random(7)
    killed = 0
    while killed < kills and not until():
        time.sleep(chance.uniform(0.1, 1.0))
        busy = [worker for worker in crew.alive() if worker.said("job_claimed")]
        if busy:
            chance.choice(busy).kill()
            killed += 1
    return killed


def random_kills(
    house: House, crew: Crew, reference: Reference, *, jobs: int, workers: int, **settings: str
) -> str:
    """Return the figures."""
    ids = [house.send(song(number)) for number in range(jobs)]
    # A kill counts as an attempt, and here no job is to blame: let chance not run out of attempts.
    crew.keep(workers, MAX_ATTEMPTS="50", **settings)
    began = time.monotonic()
    left: Callable[[], int] = lambda: sum(not house.has_ended(job_id) for job_id in ids)  # noqa: E731
    kills = kill_busy_workers(crew, lambda: not left(), kills=jobs // 4)
    house.ended(*ids, timeout_s=60 + 6 * jobs)
    slowest_s = max(recoveries_s(crew))
    # Somebody must be up to notice.
    start_s = max(worker.start_s() for worker in crew.workers)
    crew.stop_keeping()
    check_all(house, ids, reference)
    assert kills == jobs // 4
    assert slowest_s <= RECOVERY_S + start_s
    return (
        f"{jobs}/{jobs} done in {time.monotonic() - began:.0f} s, {kills} kills, slowest recovery "
        f"{slowest_s:.1f} s (lease {POLICY.lease_s:g} s, a worker starts in {start_s:.1f} s)"
    )


def recoveries_s(crew: Crew) -> list[float]:
    """For each job that went back to the queue: how long after its worker's last word."""
    found = []
    for returned in crew.said("job_reaped"):
        at, job_id = returned["time"], returned["job"]
        lasts = [worker.events()[-1]["time"] for worker in crew.workers if claimed(worker, job_id)]
        before = [last for last in lasts if last < at]
        # There is none if its worker died before it could say that it had claimed it.
        found += [seconds_between(max(before), at)] if before else []
    return found


def claimed(worker: Worker, job_id: str) -> bool:
    return bool(worker.said("job_claimed", job=job_id))


def seconds_between(before: str, after: str) -> float:
    return (datetime.fromisoformat(after) - datetime.fromisoformat(before)).total_seconds()


@pytest.mark.fault("R1")
def test_kills_at_random_instants_lose_nothing(
    house: House, crew: Crew, reference: Reference, figure: Figure
) -> None:
    figure(random_kills(house, crew, reference, jobs=20, workers=2, ENGINE_PACE="1"))


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.fault("R1")
def test_kills_at_random_instants_lose_none_of_200(
    house: House, crew: Crew, reference: Reference, figure: Figure
) -> None:
    figure(random_kills(house, crew, reference, jobs=200, workers=3, ENGINE_PACE="1"))


STEPS = [
    "job_claimed:1",
    "song_fetched:1",
    "song_decoded:1",
    "song_separated:1",
    "stem_stored:1",
    "stem_stored:4",
    "manifest_stored:1",
    "job_finished:1",
    "callback_delivered:1",
]


@pytest.mark.fault("R2")
def test_a_kill_between_any_two_steps_loses_nothing(
    house: House, crew: Crew, reference: Reference, receiver: Receiver, tmp_path: Path, figure: Figure
) -> None:
    ids = [house.put(song(number)) for number in range(len(STEPS))]
    fates = [f"kill:{step}:{job_id}" for step, job_id in zip(STEPS, ids, strict=True)]
    (tmp_path / "met").mkdir()
    crew.keep(1, FATES=",".join(fates), FATES_MET=str(tmp_path / "met"), MAX_ATTEMPTS="10")
    for number, job_id in enumerate(ids):
        house.queue.enqueue(Job(job_id, callback=Callback(receiver.url, {"n": number})))
    house.ended(*ids, timeout_s=120)
    wait_until(lambda: len(list((tmp_path / "met").iterdir())) == len(STEPS), timeout_s=180)
    told = {f'{{"n": {number}}}'.encode() for number in range(len(STEPS))}
    wait_until(lambda: told <= set(receiver.bodies), timeout_s=180)
    check_all(house, ids, reference)
    attempts = [house.status(job_id).attempts for job_id in ids]
    # Whoever died after its job was finished, or between two jobs, cost it no attempt.
    assert min(attempts[: STEPS.index("job_finished:1")]) == 2
    figure(f"{len(STEPS)} points, 0 lost, 0 wrong, attempts {attempts}")


@pytest.mark.fault("R3")
def test_sigterm_gives_the_job_back(house: House, crew: Crew, figure: Figure) -> None:
    worker = crew.start(ENGINE_PACE="1")
    job_id = house.send(song(seconds=30))
    wait_until(lambda: house.status(job_id).progress > 0.05, timeout_s=60)
    took_s = worker.terminate()
    status = house.status(job_id)
    assert (status.state, status.attempts) == (JobState.QUEUED, 0)
    assert house.queue.waiting() == [job_id]
    assert house.queue.depth().in_flight == 0
    assert took_s <= 5
    figure(f"exit 0 after {took_s:.1f} s")


@pytest.mark.fault("R4")
@pytest.mark.parametrize("step", ["song_decoded:1", "stem_stored:1", "stem_stored:4"])
def test_a_stopped_worker_that_comes_back_changes_nothing(
    house: House, crew: Crew, figure: Figure, step: str
) -> None:
    zombie = crew.start(FATES=f"stop:{step}", ENGINE_GAIN="0.5")
    job_id = house.send(song())
    wait_until(lambda: is_stopped(zombie.process.pid))
    crew.start()
    [status] = house.ended(job_id)
    assert (status.state, status.attempts) == (JobState.DONE, 2)
    manifest, stems = house.manifest(job_id), house.stems(job_id)
    assert manifest.engine == "quick 1.0"
    zombie.signal(signal.SIGCONT)
    zombie.wait_until_said("lease_lost")
    assert house.manifest(job_id) == manifest
    assert house.stems(job_id) == stems
    assert house.status(job_id) == status
    figure(f"stopped at {step}: the second result stands")


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


@pytest.mark.fault("R4")
@pytest.mark.parametrize("late", ["-drums.mp3", ".json"], ids=["stem", "manifest"])
def test_what_a_zombie_wrote_last_is_never_served(
    house: House, crew: Crew, tmp_path: Path, figure: Figure, late: str
) -> None:
    """Between the look at the lease and the end of a PUT lies the network: it may hold the PUT long."""
    with rclone_running(tmp_path / "s3") as server:
        house.tracks = Tracks(server.access.store())
        house.tracks.prepare()
        slow = Wire("127.0.0.1", server.port, replies=server.wire.replies)
        zombie = crew.start(
            ENGINE_GAIN="0.5", STORE_DIR="", **{**server.access.environment, "MINIO_HOST": slow.address}
        )
        job_id = stop_amid_a_put(house, zombie, slow, name=late)
        crew.start(STORE_DIR="", **server.access.environment)
        [status] = house.ended(job_id)
        assert (status.state, status.attempts) == (JobState.DONE, 2)
        good, manifest = house.stems(job_id), house.manifest(job_id)
        before = everything_stored(house)
        slow.mend()
        wait_until(lambda: (now := everything_stored(house)) != before and now.keys() == before.keys())
        zombie.kill()
        served = [stem for stem in STEMS if is_served(house, job_id, stem)]
        assert served == ([] if late == ".json" else [stem for stem in STEMS if stem != "drums"])
        # The next request for the song makes it again.
        house.queue.enqueue(Job(job_id))
        wait_until(lambda: len(crew.said("job_finished", job=job_id)) == 2, timeout_s=60)
        assert house.manifest(job_id) == manifest
        assert house.stems(job_id) == good
        figure(f"late {late.lstrip('-.')}: seen, not served, made again")


def everything_stored(house: House) -> dict[str, bytes]:
    store, bucket = house.tracks.store, house.tracks.output_bucket
    stored = {}
    for found in house.tracks.results():
        # This server has no object for the moment in which it replaces one.
        with suppress(ObjectNotFound, StoreUnavailable):
            stored[found.key] = b"".join(store.get(bucket, found.key))
    return stored


def is_served(house: House, job_id: str, stem: str) -> bool:
    try:
        house.tracks.open_stem(job_id, stem).close()
    except TrackNotFound:
        return False
    return True


def stop_amid_a_put(house: House, worker: Worker, slow: Wire, *, name: str) -> str:
    """Stop the worker while this object is under way; what it has sent stays on the wire."""
    held = threading.Event()

    def hold(piece: bytes) -> bytes:
        if piece.startswith(b"PUT ") and name.encode() in piece[:300]:
            slow.silence()
            held.set()
        return piece

    slow.requests = hold
    job_id = house.send(song())
    assert held.wait(60), worker.log.read_text()[-2000:]
    # What it goes on sending fits into the buffers on its way.
    time.sleep(2.0)
    worker.signal(signal.SIGSTOP)
    return job_id


@pytest.mark.fault("R10")
def test_a_job_delivered_50_times_is_done_once(
    house: House, crew: Crew, receiver: Receiver, figure: Figure
) -> None:
    job_id = house.put(song())
    message = Job(job_id, callback=Callback(receiver.url, {"one": "only"})).encode()
    for _ in range(3):
        crew.start(ready=False)
    for worker in crew.workers:
        worker.wait_until_said("worker_started")
    # Those that come while it is done are refused, those that come later find it done and told.
    for deliveries in (40, 10):
        house.redis.client().lpush("toWorkers", *[message] * deliveries)
        wait_until(lambda: house.has_ended(job_id) and not house.queue.depth().waiting, timeout_s=60)
        wait_until(lambda: house.queue.depth().in_flight == 0, timeout_s=30)
        wait_until(lambda: receiver.bodies, timeout_s=30)
    time.sleep(1.5)
    assert receiver.bodies == [b'{"one": "only"}']
    assert len({each.id for each in house.outbox.deliveries(job_id)}) == 1
    assert len(crew.said("song_separated", job=job_id)) == 1
    assert len(crew.said("manifest_stored", job=job_id)) == 1
    assert house.stems(job_id)
    house.nothing_is_left()
    figure("50 deliveries, 3 workers: 1 run, 1 manifest, 1 callback id")


@pytest.mark.fault("R11")
def test_a_poison_job_dies_after_three_workers_and_takes_no_other_with_it(
    house: House, crew: Crew, figure: Figure
) -> None:
    poison = house.put(song(99))
    crew.keep(2, FATES=f"kill:song_decoded:1:{poison}")
    good = [house.send(song(number)) for number in range(10)]
    house.queue.enqueue(Job(poison))
    good += [house.send(song(number)) for number in range(10, 20)]
    house.ended(poison, *good, timeout_s=150)
    crew.stop_keeping()
    status = house.status(poison)
    assert status.error is not None
    assert (status.state, status.attempts, status.error.code) == (JobState.FAILED, 3, "attempts_exhausted")
    assert len(crew.said("job_claimed", job=poison)) == 3
    assert {house.status(job_id).state for job_id in good} == {JobState.DONE}
    assert house.queue.depth().dead == 1
    house.nothing_is_left()
    figure("dead after 3, 20/20 done")


@pytest.mark.fault("R13")
def test_a_separator_that_hangs_is_ended_and_counted(house: House, crew: Crew, figure: Figure) -> None:
    hanging = crew.start(FATES="hang:song_decoded:1", LEASE_SECONDS="1")
    job_id = house.send(song(0))
    hanging.wait_until_said("job_claimed", job=job_id)
    began = time.monotonic()
    crew.start()
    other = house.send(song(1))
    house.ended(other)
    house.ended(job_id, timeout_s=120)
    status = house.status(job_id)
    assert (status.state, status.attempts) == (JobState.DONE, 2)
    assert not hanging.is_alive()
    assert hanging.said("job_stalled", job=job_id)
    took_s = time.monotonic() - began
    figure(f"done by another {took_s:.0f} s after it hung (lease 1 s)")
