"""Requests and deletions of one song exclude each other. Records of deleted results are forgotten."""

from collections.abc import Callable

import pytest

from common.tests.backends import QueueBench
from common.tests.steps import OOPS, OTHER, RESULT, SONG, claim_next
from msaas.errors import QueueFull
from msaas.jobs import Job, JobState
from msaas.queue.consumer import Consumer
from msaas.queue.memory import InMemorySongRegistry
from msaas.queue.protocol import JobQueue
from msaas.queue.song_registry import DELETION_S, REQUESTED_S, SongRegistry
from tests.servers import wait_until


def test_requested_song_is_not_deleted_for_a_while(bench: QueueBench) -> None:
    assert bench.registry.request_song(SONG)
    assert not bench.registry.begin_deletion(SONG)
    assert bench.registry.begin_deletion(OTHER)
    bench.pass_time(REQUESTED_S - 5)
    assert not bench.registry.begin_deletion(SONG)
    bench.pass_time(10)
    wait_until(lambda: bench.registry.begin_deletion(SONG), timeout_s=5)


def test_second_request_extends_the_first(bench: QueueBench) -> None:
    for _ in range(2):
        assert bench.registry.request_song(SONG)
        bench.pass_time(REQUESTED_S - 5)
    assert not bench.registry.begin_deletion(SONG)


def test_song_is_not_requested_during_its_deletion(bench: QueueBench) -> None:
    assert bench.registry.begin_deletion(SONG)
    assert not bench.registry.request_song(SONG)
    assert bench.registry.request_song(OTHER)
    bench.registry.end_deletion(SONG)
    # The refused request was not recorded.
    assert bench.registry.begin_deletion(SONG)
    bench.registry.end_deletion(SONG)
    assert bench.registry.request_song(SONG)


def test_two_keepers_do_not_delete_the_same_song_at_once(registry: SongRegistry) -> None:
    assert registry.begin_deletion(SONG)
    assert not registry.begin_deletion(SONG)


def test_deletion_that_never_ends_expires(bench: QueueBench) -> None:
    assert bench.registry.begin_deletion(SONG)
    bench.pass_time(DELETION_S - 5)
    assert not bench.registry.request_song(SONG)
    bench.pass_time(10)
    wait_until(lambda: bench.registry.request_song(SONG), timeout_s=5)


def test_full_queue_takes_no_request_and_begins_no_deletion() -> None:
    registry = InMemorySongRegistry()
    registry.full = True
    for call in (registry.request_song, registry.begin_deletion):
        with pytest.raises(QueueFull):
            call(SONG)


Step = Callable[[JobQueue, Consumer], object]
ENDS: dict[JobState, Step] = {
    JobState.QUEUED: lambda queue, worker: None,
    JobState.RUNNING: lambda queue, worker: claim_next(worker),
    JobState.DONE: lambda queue, worker: worker.finish(claim_next(worker), RESULT),
    JobState.FAILED: lambda queue, worker: worker.fail(claim_next(worker), OOPS),
}


@pytest.mark.parametrize("state", ENDS)
@pytest.mark.parametrize("forgotten", [JobState.DONE, JobState.FAILED])
def test_only_a_job_in_the_named_state_is_forgotten(
    queue: JobQueue, state: JobState, forgotten: JobState
) -> None:
    queue.enqueue(Job(job_id=SONG))
    ENDS[state](queue, queue.consumer("w1"))
    queue.forget(SONG, state=forgotten)
    queue.forget(OTHER, state=forgotten)
    assert (queue.status(SONG) is None) is (state is forgotten)


def test_forgotten_job_can_be_done_again(queue: JobQueue) -> None:
    worker = queue.consumer("w1")
    for _ in range(2):
        queue.enqueue(Job(job_id=SONG))
        worker.finish(claim_next(worker), RESULT)
        queue.forget(SONG, state=JobState.DONE)
    assert queue.waiting() == []
