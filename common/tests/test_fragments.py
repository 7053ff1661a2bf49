"""Fragments: shown while their attempt runs, collectable afterwards, stored under names of their own."""

import io
from collections.abc import Callable

import pytest

from common.tests.backends import POLICY, QueueBench
from msaas.errors import FragmentNotFound, LeaseLost
from msaas.fragments import Fragments
from msaas.jobs import Job, JobError, JobState, JobStatus
from msaas.queue.consumer import Claim, Consumer, Result
from msaas.queue.protocol import JobQueue
from msaas.storage.names import fragment_file, job_of
from msaas.storage.protocol import ObjectStore
from msaas.storage.song_store import SongStore

SONG = "a" * 64
STEMS = ("drums", "vocals")
FIRST = Fragments(job_id=SONG, tag="first", stems=STEMS, count=2, until_s=10.24)
SECOND = Fragments(job_id=SONG, tag="second", stems=STEMS, count=1, until_s=5.12)
OOPS = JobError("separation_failed", "The separation failed.", "oops")


def claim_next(worker: Consumer) -> Claim:
    payload = worker.take(timeout_s=0.05)
    assert payload is not None
    return worker.claim(Job.decode(payload), payload=payload)


def fragments_of(queue: JobQueue) -> Fragments | None:
    status = queue.status(SONG)
    assert status
    return status.fragments


def test_status_shows_fragments_of_running_attempt(queue: JobQueue) -> None:
    queue.enqueue(Job(job_id=SONG))
    worker = queue.consumer("w1")
    claim = claim_next(worker)
    assert fragments_of(queue) is None
    worker.renew(claim, progress=0.1, fragments=FIRST)
    worker.renew(claim, progress=0.2)
    assert fragments_of(queue) == FIRST
    assert queue.stale_fragments() == []


Ending = Callable[[QueueBench, Consumer, Claim], object]


def lose_the_entry(bench: QueueBench, worker: Consumer, claim: Claim) -> None:
    """The processing list is emptied by hand and the song is sent again."""
    worker.dead_letter(claim.payload, reason="by hand")
    bench.queue.enqueue(Job(job_id=SONG))


def fall_silent(bench: QueueBench, worker: Consumer, claim: Claim) -> None:
    bench.pass_time(POLICY.lease_s + 1)
    bench.queue.reap()


RESULT = Result(model="htdemucs", device="cpu", stems=STEMS)
ENDINGS: dict[str, Ending] = {
    "finish": lambda _, worker, claim: worker.finish(
        claim, Result(model="htdemucs", device="cpu", stems=STEMS)
    ),
    "fail": lambda _, worker, claim: worker.fail(claim, OOPS),
    "retry": lambda _, worker, claim: worker.retry(claim, OOPS),
    "give back": lambda _, worker, claim: worker.release(claim),
    "give back for later": lambda _, worker, claim: worker.release(claim, delay_s=60),
    "fall silent": fall_silent,
    "claim again": lambda _, worker, claim: worker.claim(claim.job, payload=claim.payload),
    "lose the entry": lose_the_entry,
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_fragments_of_ended_attempt_are_hidden_and_collectable(bench: QueueBench, ending: str) -> None:
    queue = bench.queue
    queue.enqueue(Job(job_id=SONG))
    worker = queue.consumer("w1")
    claim = claim_next(worker)
    worker.renew(claim, progress=0.1, fragments=FIRST)
    ENDINGS[ending](bench, worker, claim)
    assert fragments_of(queue) is None
    assert queue.stale_fragments() == [FIRST]
    queue.forget_fragments(FIRST)
    assert queue.stale_fragments() == []


def test_attempt_without_lease_cannot_publish_fragments(bench: QueueBench) -> None:
    queue = bench.queue
    queue.enqueue(Job(job_id=SONG))
    late = queue.consumer("late")
    stale = claim_next(late)
    fall_silent(bench, late, stale)
    current = queue.consumer("current")
    claim = claim_next(current)
    with pytest.raises(LeaseLost):
        late.renew(stale, progress=0.9, fragments=FIRST)
    assert fragments_of(queue) is None
    current.renew(claim, progress=0.1, fragments=SECOND)
    with pytest.raises(LeaseLost):
        late.renew(stale, progress=0.9, fragments=FIRST)
    assert fragments_of(queue) == SECOND
    assert queue.stale_fragments() == []


def test_fragments_of_previous_attempt_are_stale_while_next_one_publishes(bench: QueueBench) -> None:
    queue = bench.queue
    queue.enqueue(Job(job_id=SONG))
    first, second = queue.consumer("w1"), queue.consumer("w2")
    first.renew(claim_next(first), progress=0.1, fragments=FIRST)
    bench.pass_time(POLICY.lease_s + 1)
    queue.reap()
    second.renew(claim_next(second), progress=0.1, fragments=SECOND)
    assert (fragments_of(queue), queue.stale_fragments()) == (SECOND, [FIRST])


@pytest.mark.parametrize(
    ("state", "fragments", "expected"),
    [
        (JobState.QUEUED, None, 0.0),
        (JobState.RUNNING, None, 0.0),
        (JobState.RUNNING, FIRST, 10.24),
        (JobState.DONE, None, None),
        (JobState.FAILED, None, None),
    ],
)
def test_status_tells_playable_seconds_while_job_is_open(
    state: JobState, fragments: Fragments | None, expected: float | None
) -> None:
    assert (
        JobStatus(job_id=SONG, state=state, fragments=fragments).as_json(now=0.0)["playable_until_s"]
        == expected
    )


# In the store


@pytest.fixture
def song_store(store: ObjectStore, bucket: str) -> SongStore:
    song_store = SongStore(store, f"{bucket}in", f"{bucket}out")
    song_store.prepare()
    return song_store


def test_fragment_is_readable_until_deleted(song_store: SongStore) -> None:
    for stem in STEMS:
        song_store.fragments.put(FIRST, stem, number=1, mp3=stem.encode())
    opened = song_store.fragments.open_fragment(FIRST, "drums", number=1)
    assert (opened.size_bytes, b"".join(opened.chunks)) == (5, b"drums")
    for fragments, number in ((FIRST, 2), (SECOND, 1)):
        with pytest.raises(FragmentNotFound):
            song_store.fragments.open_fragment(fragments, "drums", number=number)
    song_store.fragments.delete(FIRST, number=1)
    assert list(song_store.outputs()) == []


def test_fragments_are_not_listed_as_results_but_deleted_with_them(song_store: SongStore) -> None:
    song_store.fragments.put(FIRST, "drums", number=1, mp3=b"fragment")
    song_store.put_stem(SONG, "drums", io.BytesIO(b"stem"))
    assert [found.key for found in song_store.results()] == [f"{SONG}-drums.mp3"]
    song_store.delete_contents()
    assert list(song_store.outputs()) == []


def test_fragment_name_is_a_valid_key_and_names_its_job() -> None:
    job_id = f"{SONG}.0123456789ab"
    name = fragment_file(Fragments(job_id=job_id, tag="0123456789ab", stems=STEMS), "vocals", number=9999)
    assert len(name) <= 128
    assert job_of(name) == job_id
