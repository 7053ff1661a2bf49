"""Requests for a song at every step of a sweep of retention, and sweeps at every step of a request."""

import itertools
import os
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from tempfile import TemporaryFile
from typing import Any, cast

import pytest
from rest.tests.conftest import Start
from rest.tests.service import store_stems

from msaas.jobs import JobState
from msaas.songs import song_hash
from msaas.storage.protocol import ObjectStore
from msaas.storage.song_store import SongStore
from msaas_keeper.retention import Retention
from msaas_rest.api.jobs.status import find_status
from msaas_rest.api.separate.submission import Submission, Submitter
from tests.faults.songs import song
from tests.servers import S3Access, wait_until
from tests.system import STEMS, System
from tests.worker_pool import WorkerPool

Figure = Callable[[str], None]
MP3 = song(seconds=1)
JOB = song_hash(MP3)
#: Younger than any object: all are old.
NO_AGE_S = -3600.0
#: A request that needs longer waits for the sweep.
AT_ONCE_S = 0.1


class SteppedStore:
    """Passes every call to a store, and calls `before_step` with the number of the call before it."""

    def __init__(self, store: ObjectStore, before_step: Callable[[int], object]) -> None:
        self._store, self._before_step = store, before_step
        self._steps = itertools.count()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._store, name)

        def step(*args: Any, **kwargs: Any) -> Any:
            self._before_step(next(self._steps))
            return call(*args, **kwargs)

        return step


def stepped(system: System, before_step: Callable[[int], object]) -> SongStore:
    return SongStore(cast(ObjectStore, SteppedStore(system.song_store.store, before_step)))


def sweep(system: System, *, song_store: SongStore | None = None) -> int:
    retention = Retention(
        queue=system.queue,
        registry=system.registry,
        song_store=song_store or system.song_store,
        age_s=NO_AGE_S,
        spared=[system.queue.referenced_songs],
    )
    return retention.sweep()


def post(system: System, *, song_store: SongStore | None = None) -> None:
    songs = song_store or system.song_store
    submitter = Submitter(
        queue=system.queue,
        registry=system.registry,
        outbox=system.outbox,
        song_store=songs,
        uploads=songs,
        default_model="htdemucs",
        max_duration_s=60,
    )
    with TemporaryFile() as file:
        file.write(MP3)
        assert submitter.submit(Submission(song=file, size_bytes=len(MP3))).job_id == JOB


def begin(system: System, *, is_finished: bool) -> None:
    """Store the song, and its result if the job is finished. The queue knows nothing of an earlier run."""
    system.redis.client().flushall()
    system.song_store.delete_contents()
    system.put(MP3)
    if is_finished:
        store_stems(system.song_store, JOB)


def ending(system: System) -> str:
    """Return how the request ended, after a further sweep. Fail if it has neither its stems nor its job."""
    sweep(system)
    if system.queue.waiting() == [JOB]:
        assert b"".join(system.song_store.song(JOB)) == MP3
        return "queued"
    assert set(system.stems(JOB)) == set(STEMS)
    assert find_status(JOB, queue=system.queue, song_store=system.song_store).state is JobState.DONE
    return "kept"


@pytest.fixture(params=["directory", "s3"])
def stored(request: pytest.FixtureRequest, system: System) -> System:
    """The system on each store. S3 has no conditional delete."""
    if request.param == "s3":
        access: S3Access = request.getfixturevalue("s3_server")
        system.use_s3(access)
    return system


@pytest.mark.fault("T11")
def test_song_sent_at_any_step_of_a_sweep_has_its_stems_or_its_job(stored: System, figure: Figure) -> None:
    endings: Counter[str] = Counter()
    with ThreadPoolExecutor() as clients:
        for step in itertools.count():
            begin(stored, is_finished=True)
            request = _post_before(step, stored, clients)
            if request is None:
                break
            request.result()
            endings[ending(stored)] += 1
    # The lists, the manifest, the stems and the song.
    assert sum(endings.values()) >= 10
    assert endings["kept"]
    assert endings["queued"]
    figure(
        f"a POST at each of {sum(endings.values())} steps of a sweep: {endings['kept']} results kept, "
        f"{endings['queued']} songs separated again"
    )


def _post_before(step: int, system: System, clients: ThreadPoolExecutor) -> Future[None] | None:
    """Sweep, and send the song before this call of the store. Return None if the sweep has fewer calls."""
    requests: list[Future[None]] = []

    def send(number: int) -> None:
        if number == step:
            requests.append(clients.submit(post, system))
            wait(requests, timeout=AT_ONCE_S)

    sweep(system, song_store=stepped(system, send))
    return requests[0] if requests else None


@pytest.mark.fault("T11")
@pytest.mark.parametrize("is_finished", [True, False], ids=["finished", "new"])
def test_sweep_at_any_step_of_a_request_spares_its_song(
    stored: System, figure: Figure, is_finished: bool
) -> None:
    endings: Counter[str] = Counter()
    for step in itertools.count():
        begin(stored, is_finished=is_finished)
        sweeps: list[int] = []

        def sweep_once(number: int, step: int = step, sweeps: list[int] = sweeps) -> None:
            if number == step:
                sweeps.append(sweep(stored))

        post(stored, song_store=stepped(stored, sweep_once))
        if not sweeps:
            break
        assert sweeps == [0]
        endings[ending(stored)] += 1
    assert set(endings) == {"kept" if is_finished else "queued"}
    figure(f"a sweep at each of {sum(endings.values())} steps of a POST: nothing deleted")


@pytest.mark.fault("T11")
def test_expired_result_is_unknown_and_can_be_made_again(
    system: System, start: Start, pool: WorkerPool, figure: Figure
) -> None:
    service = start(**system.environment)
    pool.start()
    assert service.send(MP3).ok
    system.wait_for_end(JOB)
    assert service.get(f"/apiv1/job/{JOB}").json()["state"] == "done"
    day_ago = time.time() - 24 * 3600
    for bucket in (system.song_store.input_bucket, system.song_store.output_bucket):
        for found in system.song_store.store.list(bucket):
            os.utime(f"{system.environment['STORE_DIR']}/{bucket}/{found.key}", (day_ago, day_ago))
    # The request a moment ago spares the song for a while.
    system.redis.client().delete(f"toWorkers:requested:{JOB}")
    keeper = pool.start_keeper(RETENTION_HOURS="1")
    keeper.wait_for_event("old_objects_deleted")
    # A fragment may be left for the collector.
    wait_until(lambda: not [*system.song_store.songs(), *system.song_store.outputs()])
    assert system.queue.status(JOB) is None
    answers = [service.get(path).status_code for path in (f"/apiv1/job/{JOB}", f"/apiv1/track/{JOB}/bass")]
    assert answers == [404, 404]
    assert service.send(MP3).ok
    system.wait_for_end(JOB)
    status = service.get(f"/apiv1/job/{JOB}").json()
    assert (status["state"], len(status["stems"])) == ("done", 4)
    figure("job and stems are 404 after their retention, done again after the next POST")
