"""Workers are told to stop, are stopped for longer than their lease, or hang: no job is lost or mixed up."""

import json
import re
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from msaas.errors import ObjectNotFound, StoreUnavailable, TrackNotFound
from msaas.jobs import Job, JobState
from msaas.storage.song_store import SongStore
from msaas_worker.attempt import Step
from tests.faults.fault_injector import Damage, Injection, as_settings
from tests.faults.songs import song
from tests.processes import WorkerProcess
from tests.servers import rclone_running, wait_until
from tests.system import STEMS, System
from tests.tcp_proxy import TcpProxy
from tests.worker_pool import WorkerPool

Figure = Callable[[str], None]


# R3


@pytest.mark.fault("R3")
def test_sigterm_releases_the_job(system: System, pool: WorkerPool, figure: Figure) -> None:
    job_id = system.send(song(seconds=30))
    worker = pool.start(ENGINE_PACE="1")
    system.wait_for_progress(job_id, above=0.02)
    took_s = worker.terminate()
    status = system.status(job_id)
    assert (status.state, status.attempts) == (JobState.QUEUED, 0)
    assert system.queue.waiting() == [job_id]
    assert system.queue.depth().in_flight == 0
    assert len(worker.events("job_released", job_id=job_id)) == 1
    assert not worker.events(level="warning")
    assert took_s <= 5
    figure(f"exit 0 after {took_s:.1f} s")


# R4


@pytest.mark.fault("R4")
@pytest.mark.parametrize(
    ("step", "number"),
    [
        (Step.SONG_DECODED, 1),
        pytest.param(Step.STEM_STORED, 1, marks=pytest.mark.chaos),
        (Step.STEM_STORED, 4),
    ],
)
def test_stopped_worker_changes_nothing_when_it_continues(
    system: System, pool: WorkerPool, figure: Figure, step: Step, number: int
) -> None:
    job_id = system.send(song())
    zombie = pool.start(ENGINE_GAIN="0.5", **as_settings(Injection(Damage.STOP, step, number)), ready=False)
    pool.start_keeper(ready=False)
    zombie.wait_for_event("worker_started")
    wait_until(zombie.is_stopped)
    pool.start()
    status = system.wait_for_end(job_id)
    assert (status.state, status.attempts) == (JobState.DONE, 2)
    manifest, stems = system.manifest(job_id), system.stems(job_id)
    assert manifest.engine == "quick 1.0"
    zombie.signal(signal.SIGCONT)
    zombie.wait_for_event("lease_lost")
    assert system.manifest(job_id) == manifest
    assert system.stems(job_id) == stems
    assert system.status(job_id) == status
    figure(f"stopped at {step}:{number}: the second result stands")


@pytest.mark.fault("R4")
@pytest.mark.parametrize("late", ["-drums.mp3", ".json"], ids=["stem", "manifest"])
def test_late_put_of_a_stopped_worker_is_never_served(
    system: System, pool: WorkerPool, tmp_path: Path, figure: Figure, late: str
) -> None:
    """The network lies between the check of the lease and the end of a PUT: it may delay the PUT for long."""
    with rclone_running(tmp_path / "s3") as server:
        system.use_s3(server.access)
        slow = TcpProxy("127.0.0.1", server.port, replies=server.proxy.replies)
        pool.start_keeper(ready=False)
        zombie = pool.start(ENGINE_GAIN="0.5", MINIO_HOST=slow.address)
        job_id = stop_during_put(system, zombie, slow, name=late)
        pool.start()
        status = system.wait_for_end(job_id)
        assert (status.state, status.attempts) == (JobState.DONE, 2)
        good, manifest = system.stems(job_id), system.manifest(job_id)
        before = stored_objects(system.song_store)
        slow.mend()
        wait_until(
            lambda: (now := stored_objects(system.song_store)) != before and now.keys() == before.keys()
        )
        zombie.kill()
        served = [stem for stem in STEMS if is_served(system, job_id, stem)]
        assert served == ([] if late == ".json" else [stem for stem in STEMS if stem != "drums"])
        # The next request for the song makes it again.
        system.queue.enqueue(Job(job_id=job_id))
        wait_until(lambda: len(pool.events("job_finished", job_id=job_id)) == 2)
        assert system.manifest(job_id) == manifest
        assert system.stems(job_id) == good
        figure(f"late {late.lstrip('-.')}: detected, not served, made again")


def stored_objects(song_store: SongStore) -> dict[str, bytes]:
    stored = {}
    for found in song_store.results():
        # This server has no object for the moment in which it replaces one.
        with suppress(ObjectNotFound, StoreUnavailable):
            stored[found.key] = b"".join(song_store.store.get(song_store.output_bucket, found.key))
    return stored


def is_served(system: System, job_id: str, stem: str) -> bool:
    try:
        return bool(system.stem(job_id, stem))
    except TrackNotFound:
        return False


class HeldPut:
    """A filter of requests: collects the PUT of an object, and silences the proxy once it has all of it."""

    def __init__(self, proxy: TcpProxy, *, name: str) -> None:
        self._proxy = proxy
        self._name = name.encode()
        self._request = b""
        #: The connection of the PUT: each has its own thread.
        self._thread: int | None = None
        self.is_held = threading.Event()

    def __call__(self, chunk: bytes) -> bytes:
        if self._thread is None and chunk.startswith(b"PUT ") and self._name in chunk[:300]:
            self._thread = threading.get_ident()
        if self._thread != threading.get_ident():
            return chunk
        self._request += chunk
        if not self._is_whole():
            return b""
        self._proxy.silence()
        self.is_held.set()
        return self._request

    def _is_whole(self) -> bool:
        head, _, body = self._request.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: *(\d+)", head, flags=re.IGNORECASE)
        return length is not None and len(body) >= int(length[1])


def stop_during_put(system: System, worker: WorkerProcess, slow: TcpProxy, *, name: str) -> str:
    """Stop the worker after it sent this object, whose bytes stay in the proxy."""
    slow.requests = held = HeldPut(slow, name=name)
    job_id = system.send(song())
    assert held.is_held.wait(60), worker.output()[-2000:]
    worker.signal(signal.SIGSTOP)
    return job_id


# R13


@pytest.mark.fault("R13")
def test_hanging_separator_ends_its_worker_and_counts_as_an_attempt(
    system: System, pool: WorkerPool, figure: Figure
) -> None:
    job_id = system.send(song(0))
    hanging = pool.start(
        **as_settings(Injection(Damage.HANG, Step.SONG_DECODED)),
        WORKER_POLICY=json.dumps({"stall_renewals": 4}),
        LEASE_SECONDS="1",
        ready=False,
    )
    pool.start_keeper(ready=False)
    hanging.wait_for_event("job_claimed", job_id=job_id)
    began = time.monotonic()
    pool.start()
    other = system.send(song(1))
    assert system.wait_for_end(other).state is JobState.DONE
    status = system.wait_for_end(job_id)
    assert (status.state, status.attempts) == (JobState.DONE, 2)
    assert hanging.exit_code() == 70
    assert hanging.events("job_stalled", job_id=job_id, model="htdemucs", device="cpu")
    figure(f"done by another {time.monotonic() - began:.0f} s after it hung (lease 1 s)")
