"""A song can be heard while real workers separate it, and nothing of that is left when they are done."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from worker.tests.audience import Attempt, wait_until_published
from worker.tests.htdemucs_models import random_model
from worker.tests.models import write_repo
from worker.tests.service import Service, Worker
from worker.tests.songs import song_mp3

from msaas.errors import FragmentNotFound
from msaas.fragments import Fragments
from msaas.jobs import JobState
from msaas.models import FOUR_STEMS, STARTER
from msaas.songs import song_hash
from msaas.storage.song_store import FRAGMENT_SUFFIX, SongStore
from msaas_worker.job.handler import Handler
from msaas_worker.scratch import Scratch
from msaas_worker.separators.library import open_library
from tests.servers import RcloneServer, S3Access, rclone_running, wait_until
from tests.wire import Cut

LONG, SHORT = song_mp3(20), song_mp3(7)
ROOT = Path(__file__).parents[2]
_JOB_S = 240.0


def start_worker(service: Service, **settings: str) -> Worker:
    """Start one that takes its time, whatever else the machine does: 0.4 s for each second of song."""
    script = "../tests/faults/worker_process.py"
    return service.start_worker(script=script, PYTHONPATH=str(ROOT), ENGINE_PACE="0.4", **settings)


def pieces_left(song_store: SongStore) -> list[str]:
    return [found.key for found in song_store.outputs() if found.key.endswith(FRAGMENT_SUFFIX)]


def shown(service: Service, job_id: str) -> Fragments | None:
    return service.status(job_id).fragments


def wait_until_heard(service: Service, job_id: str, *, fragments: int = 1) -> Fragments:
    wait_until(lambda: (found := shown(service, job_id)) and found.count >= fragments, timeout_s=_JOB_S)
    found = shown(service, job_id)
    assert found
    return found


def wait_until_gone(service: Service, fragments: Fragments) -> None:
    wait_until(lambda: not any(fragments.tag in key for key in pieces_left(service.song_store)), timeout_s=60)


def wait_until_tidy(service: Service) -> None:
    wait_until(lambda: not service.redis.exists("toWorkers:pieces"), timeout_s=60)
    assert pieces_left(service.song_store) == []


def listen(service: Service, job_id: str) -> dict[str, bytes]:
    """Play the song while it is separated, as a page does; return what was heard of each stem."""
    heard = dict.fromkeys(FOUR_STEMS, b"")
    number = 1
    while service.status(job_id).state is not JobState.DONE:
        fragments = shown(service, job_id)
        if fragments and fragments.count >= number:
            try:
                more = {
                    stem: service.song_store.fragment(fragments, stem, number=number) for stem in FOUR_STEMS
                }
            except FragmentNotFound:  # It is done: time to go over to the stems.
                continue
            heard = {stem: heard[stem] + more[stem] for stem in FOUR_STEMS}
            number += 1
    return heard


@pytest.mark.parametrize("store", ["directory", "s3"])
def test_what_is_heard_is_where_the_stems_begin_and_nothing_is_left(
    service: Service, store: str, request: pytest.FixtureRequest
) -> None:
    environment = {}
    if store == "s3":
        access: S3Access = request.getfixturevalue("s3_server")
        service.song_store = SongStore(access.store())
        service.song_store.prepare()
        environment = {"STORE_DIR": "", **access.environment}
    start_worker(service, **environment).wait_until_said("worker_started")
    job_id = service.enqueue(LONG)
    heard = listen(service, job_id)
    assert service.status(job_id).fragments is None
    for stem in FOUR_STEMS:
        assert len(heard[stem]) >= 5.12 * 40_000
        with service.song_store.open_stem(job_id, stem) as whole:
            assert whole.read(len(heard[stem])) == heard[stem]
    wait_until_tidy(service)


@pytest.mark.parametrize("model", ["htdemucs", STARTER])
def test_with_a_real_engine_the_pieces_joined_are_the_stems(model: str, tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, job_id=song_hash(SHORT))
    attempt.song_store.put_song(attempt.job_id, io.BytesIO(SHORT), size_bytes=len(SHORT))
    repo = write_repo(tmp_path / "models", [random_model()])
    library = open_library(default=model, repo=repo, fallback="", device="cpu", precision="exact")
    attempt.store.on_manifest = wait_until_published
    Handler(attempt.song_store, library, Scratch(tmp_path), model, 7200).handle(attempt.lease)
    for stem in FOUR_STEMS:
        with attempt.song_store.open_stem(attempt.job_id, stem) as whole:
            assert attempt.store.joined(stem) == whole.read()


def test_a_second_attempt_starts_anew_and_shows_nothing_of_the_first(service: Service) -> None:
    killed = start_worker(service)
    job_id = service.enqueue(LONG)
    first = wait_until_heard(service, job_id)
    killed.kill()
    assert pieces_left(service.song_store)
    second = start_worker(service)
    second.wait_until_said("job_claimed")
    wait_until_gone(service, first)
    tags = set()
    while service.status(job_id).state is not JobState.DONE:
        if fragments := shown(service, job_id):
            tags.add(fragments.tag)
    assert len(tags) == 1
    assert first.tag not in tags
    wait_until_tidy(service)


def test_a_job_given_back_leaves_no_pieces_behind(service: Service) -> None:
    worker = start_worker(service)
    job_id = service.enqueue(LONG)
    heard = wait_until_heard(service, job_id)
    assert worker.terminate(timeout_s=5) == 0
    assert shown(service, job_id) is None
    start_worker(service)
    wait_until_gone(service, heard)


def test_a_song_that_is_not_to_be_heard_has_no_pieces(service: Service) -> None:
    start_worker(service, PUBLISH_PIECES="false")
    job_id = service.enqueue(SHORT)
    assert set(listen(service, job_id).values()) == {b""}
    assert not service.redis.exists("toWorkers:pieces")
    assert service.song_store.whole_manifest(job_id)


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[RcloneServer]:
    with rclone_running(tmp_path / "s3") as server:
        yield server


def cut_pieces(request: bytes) -> bytes:
    if request.startswith(b"PUT ") and FRAGMENT_SUFFIX.encode() in request[:300]:
        raise Cut
    return request


def test_a_store_that_refuses_pieces_costs_the_pieces_alone(service: Service, s3: RcloneServer) -> None:
    service.song_store = SongStore(s3.access.store())
    service.song_store.prepare()
    s3.wire.requests = cut_pieces
    worker = start_worker(service, STORE_DIR="", **s3.access.environment)
    job_id = service.enqueue(SHORT)
    worker.wait_until_said("publishing_stopped", timeout_s=_JOB_S)
    status = service.wait_for_end(job_id)
    assert (status.state, status.attempts) == (JobState.DONE, 1)
    assert sum(line["event"] == "publishing_stopped" for line in worker.events()) == 1
    assert set(service.manifest(job_id).stems) == set(FOUR_STEMS)
    wait_until_tidy(service)
