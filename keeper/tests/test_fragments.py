"""Pieces whose attempt is over are deleted, all of them, and no others."""

import threading
from pathlib import Path
from unittest import mock

import pytest
from worker.tests.audience import POLICY, Attempt

from msaas.errors import FragmentNotFound, StoreUnavailable
from msaas.fragments import Fragments
from msaas.queue.protocol import Result
from msaas_keeper.fragments import start_tidying, tidy
from msaas_keeper.retention import Retention
from msaas_worker.job.runner import JobRunner
from tests.servers import wait_until

STEMS = ("drums", "vocals")


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    return Attempt(tmp_path)


def set_model(attempt: Attempt, *, told: int, stored: int, tag: str = "first") -> Fragments:
    fragments = Fragments(job_id=attempt.job_id, tag=tag, stems=STEMS, count=told, until_s=5.12 * told)
    attempt.lease.publish(fragments)
    for number in range(1, stored + 1):
        for stem in STEMS:
            attempt.song_store.put_fragment(fragments, stem, number=number, mp3=b"piece")
    return fragments


@pytest.mark.parametrize("told", [0, 2])
def test_of_a_worker_that_was_killed_even_what_it_had_not_told_of_goes(attempt: Attempt, told: int) -> None:
    set_model(attempt, told=told, stored=told + 1)
    attempt.consumer.release(attempt.claim)
    tidy(attempt.queue, attempt.song_store)
    assert list(attempt.song_store.outputs()) == []
    assert attempt.queue.fragments == {}


def test_what_is_heard_stays(attempt: Attempt) -> None:
    set_model(attempt, told=1, stored=2)
    tidy(attempt.queue, attempt.song_store)
    assert len(list(attempt.song_store.outputs())) == 4


def test_what_a_store_that_is_away_keeps_is_deleted_when_it_is_back(attempt: Attempt) -> None:
    set_model(attempt, told=1, stored=1)
    attempt.consumer.release(attempt.claim)
    away = mock.patch.object(attempt.store, "delete", side_effect=StoreUnavailable("Turned off."))
    with away, pytest.raises(StoreUnavailable):
        tidy(attempt.queue, attempt.song_store)
    tidy(attempt.queue, attempt.song_store)
    assert list(attempt.song_store.outputs()) == []


@pytest.mark.parametrize("when", ["after each job", "now and then"])
def test_a_worker_tidies_when_it_starts_and(attempt: Attempt, when: str) -> None:
    job_ended, stopping = threading.Event(), threading.Event()
    leave_behind(attempt, tag="before-it-started")
    every_s = 0.2 if when == "now and then" else 3600.0
    start_tidying(attempt.queue, attempt.song_store, every_s=every_s, job_ended=job_ended, stopping=stopping)
    wait_until(lambda: is_tidy(attempt))
    leave_behind(attempt, tag="later")
    if when == "after each job":
        job_ended.set()
    wait_until(lambda: is_tidy(attempt))
    stopping.set()


def leave_behind(attempt: Attempt, *, tag: str) -> None:
    fragments = Fragments(job_id=attempt.job_id, tag=tag, stems=STEMS, count=1, until_s=5.12)
    attempt.song_store.put_fragment(fragments, "drums", number=1, mp3=b"piece")
    attempt.queue.fragments[tag] = fragments


def is_tidy(attempt: Attempt) -> bool:
    return not attempt.queue.fragments and list(attempt.song_store.outputs()) == []


def test_the_loop_tells_when_a_job_has_ended(attempt: Attempt) -> None:
    loop = JobRunner(attempt.consumer, lambda _: Result("htdemucs", "cpu", STEMS), POLICY, threading.Event())
    loop._work_on(attempt.claim)
    assert loop.job_ended.is_set()


def test_what_nobody_tells_of_any_more_is_old_one_day(attempt: Attempt) -> None:
    """The queue forgot all it knew, say."""
    fragments = set_model(attempt, told=1, stored=1)
    attempt.queue.fragments.clear()
    assert Retention(attempt.song_store, 3600.0, spared=[]).sweep() == 0
    assert Retention(attempt.song_store, -1.0, spared=[]).sweep() == 2
    with pytest.raises(FragmentNotFound):
        attempt.song_store.fragment(fragments, "drums", number=1)
