"""Fragments of a song are published while workers separate it, and deleted when its attempt has ended."""

from pathlib import Path

import pytest
from worker.tests.htdemucs_models import random_model
from worker.tests.models import write_repo
from worker.tests.running_attempt import RunningAttempt
from worker.tests.songs import song_mp3

from msaas.errors import FragmentNotFound
from msaas.fragments import Fragments
from msaas.jobs import JobState
from msaas.models import FOUR_STEMS
from msaas.recipe import Recipe
from msaas.storage.names import FRAGMENT_SUFFIX
from msaas_worker.separation import separate_song
from msaas_worker.separators.library import open_library
from tests.processes import WorkerProcess
from tests.servers import RcloneServer, wait_until
from tests.system import System, redis_keys
from tests.tcp_proxy import Cut
from tests.worker_pool import WorkerPool

#: Durations in s.
LONG, SHORT = 14, 7
#: The sound of the first fragment: 5.12 s at 320 kbit/s.
FIRST_BYTES = 4 * 51_200


def start_slow_worker(pool: WorkerPool, **settings: str) -> WorkerProcess:
    """Start a worker that takes 0.2 s for each second of song."""
    return pool.start(ENGINE_PACE="0.2", **settings)


def published(system: System, job_id: str) -> Fragments | None:
    return system.status(job_id).fragments


def wait_until_published(system: System, job_id: str) -> Fragments:
    wait_until(lambda: (found := published(system, job_id)) and found.count, timeout_s=120)
    found = published(system, job_id)
    assert found
    return found


def wait_until_collected(system: System) -> None:
    wait_until(lambda: "toWorkers:pieces" not in redis_keys(system))
    assert system.stored_fragments() == []


def play(system: System, job_id: str) -> dict[str, bytes]:
    """Fetch the fragments while the job runs, as the page does; return those of each stem, joined."""
    played = dict.fromkeys(FOUR_STEMS, b"")
    number = 1
    while system.status(job_id).state is not JobState.DONE:
        fragments = published(system, job_id)
        if fragments and fragments.count >= number:
            try:
                more = {
                    stem: b"".join(
                        system.song_store.fragments.open_fragment(fragments, stem, number=number).chunks
                    )
                    for stem in FOUR_STEMS
                }
            except FragmentNotFound:  # The job is done: the stems take over.
                continue
            played = {stem: played[stem] + more[stem] for stem in FOUR_STEMS}
            number += 1
    return played


def test_fragments_are_the_beginning_of_the_stems_and_are_collected(system: System, pool: WorkerPool) -> None:
    pool.start_keeper(ready=False)
    start_slow_worker(pool)
    job_id = system.send(song_mp3(LONG))
    played = play(system, job_id)
    assert published(system, job_id) is None
    for stem in FOUR_STEMS:
        assert len(played[stem]) > FIRST_BYTES
        assert system.stem(job_id, stem).startswith(played[stem])
    wait_until_collected(system)


class WaitingSink:
    """Takes the stems once all their fragments are published."""

    takes_analysis = False

    def __init__(self, running: RunningAttempt) -> None:
        self.stems: dict[str, bytes] = {}
        self._store = running.store

    def put_stem(self, stem: str, file: Path, *, peaks: bytes) -> None:
        self.stems[stem] = file.read_bytes()
        wait_until(lambda: len(self._store.joined(stem)) >= len(self.stems[stem]))

    def put_analysis(self, analysis: bytes) -> None:
        pass


@pytest.mark.process
def test_joined_fragments_of_a_real_engine_are_the_stems(tmp_path: Path) -> None:
    repo = write_repo(tmp_path / "models", [random_model()])
    library = open_library(default="htdemucs", repo=repo, fallback="", device="cpu", precision="exact")
    running, song = RunningAttempt(tmp_path), tmp_path / "song.mp3"
    song.write_bytes(song_mp3(SHORT))
    sink = WaitingSink(running)
    with running.attempt as attempt:
        separate_song(song, Recipe(), library.get("htdemucs"), sink, attempt, max_duration_s=60)
    for stem in FOUR_STEMS:
        assert running.store.joined(stem) == sink.stems[stem]


def test_second_attempt_shows_nothing_of_the_first(system: System, pool: WorkerPool) -> None:
    job_id = system.send(song_mp3(LONG))
    pool.start_keeper(ready=False)
    killed = start_slow_worker(pool)
    first = wait_until_published(system, job_id)
    killed.kill()
    assert system.stored_fragments()
    second = start_slow_worker(pool)
    second.wait_for_event("job_claimed")
    wait_until(lambda: not any(first.tag in key for key in system.stored_fragments()))
    tags = set()
    while system.status(job_id).state is not JobState.DONE:
        if fragments := published(system, job_id):
            tags.add(fragments.tag)
    assert len(tags) == 1
    assert first.tag not in tags
    wait_until_collected(system)


def cut_fragments(request: bytes) -> bytes:
    if request.startswith(b"PUT ") and FRAGMENT_SUFFIX.encode() in request[:300]:
        raise Cut
    return request


def test_store_that_refuses_fragments_costs_fragments_only(
    system: System, pool: WorkerPool, s3: RcloneServer
) -> None:
    s3.proxy.requests = cut_fragments
    job_id = system.send(song_mp3(SHORT))
    pool.start_keeper(ready=False)
    worker = start_slow_worker(pool)
    worker.wait_for_event("fragments_stopped", level="warning")
    status = system.wait_for_end(job_id)
    assert (status.state, status.attempts) == (JobState.DONE, 1)
    assert len(worker.events("fragments_stopped")) == 1
    assert set(system.manifest(job_id).stems) == set(FOUR_STEMS)
    wait_until_collected(system)
