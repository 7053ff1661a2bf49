"""Requests for a song at every step of a sweep of retention, and sweeps at every step of a request."""

import itertools
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, cast

import pytest
from rest.tests.conftest import Start
from rest.tests.service import store_stems

from msaas.jobs import JobState
from msaas.recipe import Recipe
from msaas.removal import Removal
from msaas.songs import song_hash
from msaas.storage.protocol import ObjectStore
from msaas.storage.song_store import SongStore
from msaas_catalogue import Catalogue, Song, open_catalogue, prepare
from msaas_catalogue.songs import Songs
from msaas_keeper.retention import Retention
from msaas_keeper.uploads import GRACE_S, remove_old_uploads
from msaas_rest.api.jobs.status import find_status
from msaas_rest.api.separate.submission import Submission, Submitter
from msaas_rest.songs.sending import JobSender
from msaas_rest.songs.upload import Upload, Uploader
from msaas_rest.songs.visitor import Visitor
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


class Stepped:
    """Passes every call to an adapter, and calls `before_step` with the number of the call before it."""

    def __init__(self, adapter: object, before_step: Callable[[int], object]) -> None:
        self._adapter, self._before_step = adapter, before_step
        self._steps = itertools.count()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._adapter, name)

        def step(*args: Any, **kwargs: Any) -> Any:
            self._before_step(next(self._steps))
            return call(*args, **kwargs)

        return step


def stepped(system: System, before_step: Callable[[int], object]) -> SongStore:
    return SongStore(cast(ObjectStore, Stepped(system.song_store.store, before_step)))


def sweep(
    system: System, *, song_store: SongStore | None = None, spared: Sequence[Callable[[], set[str]]] = ()
) -> int:
    retention = Retention(
        queue=system.queue,
        registry=system.registry,
        song_store=song_store or system.song_store,
        age_s=NO_AGE_S,
        spared=[system.queue.referenced_songs, *spared],
    )
    return retention.sweep()


def submitter_of(system: System, songs: SongStore) -> Submitter:
    return Submitter(
        queue=system.queue,
        registry=system.registry,
        outbox=system.outbox,
        song_store=songs,
        uploads=songs,
        default_model="htdemucs",
        max_duration_s=60,
    )


def post(system: System, *, song_store: SongStore | None = None) -> None:
    submitter = submitter_of(system, song_store or system.song_store)
    with TemporaryFile() as file:
        file.write(MP3)
        assert submitter.submit(Submission(song=file, size_bytes=len(MP3))).job_id == JOB


def upload(system: System, catalogue: Catalogue) -> Song:
    """Upload the song to `/songs` without a session."""
    uploader = Uploader(
        sender=JobSender(submitter=submitter_of(system, system.song_store)),
        registry=system.registry,
        songs=lambda: catalogue.songs,
        removal=lambda: Removal(
            queue=system.queue,
            registry=system.registry,
            song_store=system.song_store,
            is_referenced=catalogue.songs.is_referenced,
        ),
    )
    with TemporaryFile() as file:
        file.write(MP3)
        sent = Upload(song=file, size_bytes=len(MP3), file_name="x.mp3", title="x", options={})
        return uploader.upload(sent, visitor=Visitor("127.0.0.1"))


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


DAY_S = 24 * 3600.0


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The URL of a database."""
    url = f"sqlite:///{tmp_path / 'catalogue.db'}"
    prepare(url)
    return url


@pytest.fixture
def catalogue(url: str) -> Iterator[Catalogue]:
    with closing(open_catalogue(url)) as catalogue:
        yield catalogue


@pytest.fixture
def yesterday(url: str) -> Iterator[Catalogue]:
    """The same catalogue, which adds uploads a day ago."""
    with closing(open_catalogue(url, clock=lambda: time.time() - DAY_S)) as catalogue:
        yield catalogue


def forget_uploads(catalogue: Catalogue) -> None:
    found = catalogue.songs.list_anonymous(since=0, until=time.time() + 1)
    catalogue.songs.remove_anonymous([each.id for each in found])


@pytest.mark.fault("T11")
def test_song_uploaded_at_any_step_of_the_removal_of_its_old_upload_is_kept(
    stored: System, catalogue: Catalogue, yesterday: Catalogue, figure: Figure
) -> None:
    """The removal takes the row of the old upload, and the sweep after it takes the song and its result."""
    endings: Counter[str] = Counter()
    with ThreadPoolExecutor() as clients:
        for step in itertools.count():
            begin(stored, is_finished=True)
            forget_uploads(catalogue)
            old = yesterday.songs.add("old", song_hash=JOB, recipe=Recipe(), user_id=None)
            request = _upload_before(step, stored, catalogue, clients)
            if request is None:
                break
            song = request.result()
            remove_old_uploads(catalogue.songs, queue=stored.queue, age_s=GRACE_S)
            assert catalogue.songs.list_uploads(JOB) == [song]
            assert song.id != old.id
            endings[ending(stored)] += 1
    assert sum(endings.values()) >= 13
    assert endings["kept"]
    assert endings["queued"]
    figure(
        f"an anonymous upload at each of {sum(endings.values())} steps of the removal of an old one: "
        f"{endings['kept']} results kept, {endings['queued']} songs separated again"
    )


def _upload_before(
    step: int, system: System, catalogue: Catalogue, clients: ThreadPoolExecutor
) -> Future[Song] | None:
    """Remove old uploads and sweep, and upload the song before this call of the database or the store."""
    requests: list[Future[Song]] = []
    steps = itertools.count()

    def send(_: int) -> None:
        if next(steps) == step:
            requests.append(clients.submit(upload, system, catalogue))
            wait(requests, timeout=AT_ONCE_S)

    songs = cast(Songs, Stepped(catalogue.songs, send))
    remove_old_uploads(songs, queue=system.queue, age_s=GRACE_S)
    sweep(system, song_store=stepped(system, send), spared=[songs.referenced_songs])
    return requests[0] if requests else None


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
