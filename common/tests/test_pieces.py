"""Pieces are shown as long as their attempt runs, and found by whoever deletes them until that is done."""

import io
from collections.abc import Callable

import pytest

from common.tests.backends import POLICY, QueueBench
from msaas.errors import LeaseLost, PieceNotFound
from msaas.jobs import Job, JobError, JobState, JobStatus
from msaas.pieces import Pieces
from msaas.queue import Claim, Consumer, JobQueue, Result
from msaas.storage import ObjectStore
from msaas.tracks import Tracks, job_of, piece_file

SONG = "a" * 64
STEMS = ("drums", "vocals")
FIRST = Pieces(SONG, "first", STEMS, count=2, until_s=10.24)
SECOND = Pieces(SONG, "second", STEMS, count=1, until_s=5.12)
OOPS = JobError("separation_failed", "The separation failed.", "oops")


def claimed(worker: Consumer) -> Claim:
    payload = worker.take(timeout_s=0.05)
    assert payload is not None
    return worker.claim(Job.decode(payload), payload=payload)


def shown(queue: JobQueue) -> Pieces | None:
    status = queue.status(SONG)
    assert status
    return status.pieces


def test_what_the_attempt_has_to_be_heard_is_shown(queue: JobQueue) -> None:
    queue.enqueue(Job(SONG))
    worker = queue.consumer("w1")
    claim = claimed(worker)
    assert shown(queue) is None
    worker.renew(claim, progress=0.1, pieces=FIRST)
    worker.renew(claim, progress=0.2)
    assert shown(queue) == FIRST
    assert queue.stale_pieces() == []


Ending = Callable[[QueueBench, Consumer, Claim], object]


def lose_the_entry(bench: QueueBench, worker: Consumer, claim: Claim) -> None:
    """Somebody emptied the worker's list by hand, and the song is sent again."""
    worker.bury(claim.payload, reason="by hand")
    bench.queue.enqueue(Job(SONG))


def fall_silent(bench: QueueBench, worker: Consumer, claim: Claim) -> None:
    bench.pass_time(POLICY.lease_s + 1)
    bench.queue.reap()


ENDINGS: dict[str, Ending] = {
    "finish": lambda _, worker, claim: worker.finish(claim, Result("htdemucs", "cpu", STEMS)),
    "fail": lambda _, worker, claim: worker.fail(claim, OOPS),
    "retry": lambda _, worker, claim: worker.retry(claim, OOPS),
    "give back": lambda _, worker, claim: worker.give_back(claim),
    "give back for later": lambda _, worker, claim: worker.give_back(claim, delay_s=60),
    "fall silent": fall_silent,
    "claim again": lambda _, worker, claim: worker.claim(claim.job, payload=claim.payload),
    "lose the entry": lose_the_entry,
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_pieces_of_an_attempt_that_is_over_are_shown_to_nobody_but_whoever_deletes_them(
    bench: QueueBench, ending: str
) -> None:
    queue = bench.queue
    queue.enqueue(Job(SONG))
    worker = queue.consumer("w1")
    claim = claimed(worker)
    worker.renew(claim, progress=0.1, pieces=FIRST)
    ENDINGS[ending](bench, worker, claim)
    assert shown(queue) is None
    assert queue.stale_pieces() == [FIRST]
    queue.forget_pieces(FIRST)
    assert queue.stale_pieces() == []


def test_a_late_attempt_can_show_nothing(bench: QueueBench) -> None:
    queue = bench.queue
    queue.enqueue(Job(SONG))
    late = queue.consumer("late")
    stale = claimed(late)
    fall_silent(bench, late, stale)
    current = queue.consumer("current")
    claim = claimed(current)
    with pytest.raises(LeaseLost):
        late.renew(stale, progress=0.9, pieces=FIRST)
    assert shown(queue) is None
    current.renew(claim, progress=0.1, pieces=SECOND)
    with pytest.raises(LeaseLost):
        late.renew(stale, progress=0.9, pieces=FIRST)
    assert shown(queue) == SECOND
    assert queue.stale_pieces() == []


def test_while_one_attempt_is_heard_the_pieces_of_the_one_before_are_stale(bench: QueueBench) -> None:
    queue = bench.queue
    queue.enqueue(Job(SONG))
    first, second = queue.consumer("w1"), queue.consumer("w2")
    first.renew(claimed(first), progress=0.1, pieces=FIRST)
    bench.pass_time(POLICY.lease_s + 1)
    queue.reap()
    second.renew(claimed(second), progress=0.1, pieces=SECOND)
    assert (shown(queue), queue.stale_pieces()) == (SECOND, [FIRST])


@pytest.mark.parametrize(
    ("state", "pieces", "told"),
    [
        (JobState.QUEUED, None, 0.0),
        (JobState.RUNNING, None, 0.0),
        (JobState.RUNNING, FIRST, 10.24),
        (JobState.DONE, None, None),
        (JobState.FAILED, None, None),
    ],
)
def test_a_job_says_until_when_it_can_be_played(
    state: JobState, pieces: Pieces | None, told: float | None
) -> None:
    assert JobStatus(SONG, state, pieces=pieces).as_json(now=0.0)["playable_until_s"] == told


# In the store


@pytest.fixture
def tracks(store: ObjectStore, bucket: str) -> Tracks:
    tracks = Tracks(store, f"{bucket}in", f"{bucket}out")
    tracks.prepare()
    return tracks


def test_a_piece_is_heard_until_it_is_deleted(tracks: Tracks) -> None:
    for stem in STEMS:
        tracks.put_piece(FIRST, stem, number=1, mp3=stem.encode())
    assert tracks.piece(FIRST, "drums", number=1) == b"drums"
    for pieces, number in ((FIRST, 2), (SECOND, 1)):
        with pytest.raises(PieceNotFound):
            tracks.piece(pieces, "drums", number=number)
    tracks.delete_piece(FIRST, number=1)
    assert list(tracks.outputs()) == []


def test_a_piece_is_no_result_but_goes_with_the_others(tracks: Tracks) -> None:
    tracks.put_piece(FIRST, "drums", number=1, mp3=b"piece")
    tracks.put_stem(SONG, "drums", io.BytesIO(b"stem"))
    assert [found.key for found in tracks.results()] == [f"{SONG}-drums.mp3"]
    tracks.delete_contents()
    assert list(tracks.outputs()) == []


def test_the_name_of_a_piece_is_a_name_for_every_store_and_tells_its_job() -> None:
    job_id = f"{SONG}.0123456789ab"
    name = piece_file(Pieces(job_id, "0123456789ab", STEMS), "vocals", number=9999)
    assert len(name) <= 128
    assert job_of(name) == job_id
