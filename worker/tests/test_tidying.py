"""Pieces whose attempt is over are deleted, all of them, and no others."""

import threading
from pathlib import Path
from unittest import mock

import pytest
from worker.tests.audience import POLICY, Attempt

from msaas.errors import PieceNotFound, StoreUnavailable
from msaas.pieces import Pieces
from msaas.queue import Result
from msaas_worker.consumer import Loop
from msaas_worker.retention import Retention
from msaas_worker.tidying import start_tidying, tidy
from tests.servers import wait_until

STEMS = ("drums", "vocals")


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    return Attempt(tmp_path)


def tell(attempt: Attempt, *, told: int, stored: int, tag: str = "first") -> Pieces:
    pieces = Pieces(attempt.job_id, tag, STEMS, count=told, until_s=5.12 * told)
    attempt.lease.show(pieces)
    for number in range(1, stored + 1):
        for stem in STEMS:
            attempt.tracks.put_piece(pieces, stem, number=number, mp3=b"piece")
    return pieces


@pytest.mark.parametrize("told", [0, 2])
def test_of_a_worker_that_was_killed_even_what_it_had_not_told_of_goes(attempt: Attempt, told: int) -> None:
    tell(attempt, told=told, stored=told + 1)
    attempt.consumer.give_back(attempt.claim)
    tidy(attempt.queue, attempt.tracks)
    assert list(attempt.tracks.outputs()) == []
    assert attempt.queue.pieces == {}


def test_what_is_heard_stays(attempt: Attempt) -> None:
    tell(attempt, told=1, stored=2)
    tidy(attempt.queue, attempt.tracks)
    assert len(list(attempt.tracks.outputs())) == 4


def test_what_a_store_that_is_away_keeps_is_deleted_when_it_is_back(attempt: Attempt) -> None:
    tell(attempt, told=1, stored=1)
    attempt.consumer.give_back(attempt.claim)
    away = mock.patch.object(attempt.store, "delete", side_effect=StoreUnavailable("Turned off."))
    with away, pytest.raises(StoreUnavailable):
        tidy(attempt.queue, attempt.tracks)
    tidy(attempt.queue, attempt.tracks)
    assert list(attempt.tracks.outputs()) == []


@pytest.mark.parametrize("when", ["after each job", "now and then"])
def test_a_worker_tidies_when_it_starts_and(attempt: Attempt, when: str) -> None:
    job_ended, stopping = threading.Event(), threading.Event()
    leave_behind(attempt, tag="before-it-started")
    every_s = 0.2 if when == "now and then" else 3600.0
    start_tidying(attempt.queue, attempt.tracks, every_s=every_s, job_ended=job_ended, stopping=stopping)
    wait_until(lambda: is_tidy(attempt))
    leave_behind(attempt, tag="later")
    if when == "after each job":
        job_ended.set()
    wait_until(lambda: is_tidy(attempt))
    stopping.set()


def leave_behind(attempt: Attempt, *, tag: str) -> None:
    pieces = Pieces(attempt.job_id, tag, STEMS, count=1, until_s=5.12)
    attempt.tracks.put_piece(pieces, "drums", number=1, mp3=b"piece")
    attempt.queue.pieces[tag] = pieces


def is_tidy(attempt: Attempt) -> bool:
    return not attempt.queue.pieces and list(attempt.tracks.outputs()) == []


def test_the_loop_tells_when_a_job_has_ended(attempt: Attempt) -> None:
    loop = Loop(attempt.consumer, lambda _: Result("htdemucs", "cpu", STEMS), POLICY, threading.Event())
    loop._work_on(attempt.claim)
    assert loop.job_ended.is_set()


def test_what_nobody_tells_of_any_more_is_old_one_day(attempt: Attempt) -> None:
    """The queue forgot all it knew, say."""
    pieces = tell(attempt, told=1, stored=1)
    attempt.queue.pieces.clear()
    assert Retention(attempt.tracks, 3600.0, spared=[]).sweep() == 0
    assert Retention(attempt.tracks, -1.0, spared=[]).sweep() == 2
    with pytest.raises(PieceNotFound):
        attempt.tracks.piece(pieces, "drums", number=1)
