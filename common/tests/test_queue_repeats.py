"""A job that comes again: its facts stay until its work begins again, and its first wait is measured."""

import pytest

from common.tests.backends import QueueBench
from common.tests.steps import AT_ONCE_S, OOPS, RESULT, SONG, claim_next
from msaas.jobs import Job, JobState, JobStatus
from msaas.queue.consumer import Result
from msaas.queue.protocol import JobQueue

#: The result was in the store before the job.
FOUND = Result(model="starter", device="", stems=("drums", "vocals"), requested_model="htdemucs")


def status_of(queue: JobQueue) -> JobStatus:
    status = queue.status(SONG)
    assert status
    return status


def finish_once(queue: JobQueue) -> JobStatus:
    """Do the job once, by a stand-in; return its status."""
    queue.enqueue(Job(job_id=SONG))
    worker = queue.consumer("w1")
    claim = claim_next(worker)
    worker.renew(claim, progress=0.5, model="starter", requested_model="htdemucs", device="cpu")
    worker.finish(claim, Result(model="starter", device="cpu", stems=RESULT.stems))
    return status_of(queue)


def send_again(bench: QueueBench, *, by_hand: bool) -> None:
    if by_hand:
        bench.push(SONG.encode())
    else:
        assert bench.queue.enqueue(Job(job_id=SONG)) is JobState.QUEUED


@pytest.mark.parametrize("by_hand", [True, False], ids=["by hand", "enqueued"])
def test_result_that_is_found_keeps_device_creation_and_requested_model(
    bench: QueueBench, by_hand: bool
) -> None:
    before = finish_once(bench.queue)
    send_again(bench, by_hand=by_hand)
    worker = bench.queue.consumer("w1")
    claim = claim_next(worker)
    running = status_of(bench.queue)
    assert (running.state, running.device, running.created_at) == ("running", "cpu", before.created_at)
    worker.finish(claim, FOUND)
    after = status_of(bench.queue)
    assert (after.state, after.stems, after.model) == ("done", FOUND.stems, "starter")
    assert (after.device, after.created_at) == ("cpu", before.created_at)
    assert after.requested_model == before.requested_model == "htdemucs"


def test_enqueued_again_a_done_job_keeps_its_facts_but_not_its_result(queue: JobQueue) -> None:
    before = finish_once(queue)
    queue.enqueue(Job(job_id=SONG))
    status = status_of(queue)
    assert (status.state, status.progress, status.stems, status.attempts) == ("queued", 0.0, (), 0)
    assert (status.started_at, status.finished_at) == (None, None)
    assert (status.device, status.model, status.created_at) == ("cpu", "starter", before.created_at)


@pytest.mark.parametrize("by_hand", [True, False], ids=["by hand", "enqueued"])
def test_facts_are_those_of_the_new_work_once_it_begins(bench: QueueBench, by_hand: bool) -> None:
    before = finish_once(bench.queue)
    send_again(bench, by_hand=by_hand)
    worker = bench.queue.consumer("w1")
    claim = claim_next(worker)
    worker.renew(claim, progress=0.1, model="htdemucs", requested_model="htdemucs", device="cuda")
    status = status_of(bench.queue)
    assert before.created_at
    assert status.created_at
    assert status.created_at > before.created_at
    assert (status.model, status.device) == ("htdemucs", "cuda")


def test_facts_are_those_of_the_new_work_if_it_ends_between_renewals(queue: JobQueue) -> None:
    before = finish_once(queue)
    queue.enqueue(Job(job_id=SONG))
    worker = queue.consumer("w1")
    worker.finish(claim_next(worker), Result(model="mdx", device="cuda", stems=RESULT.stems))
    status = status_of(queue)
    assert before.created_at
    assert status.created_at
    assert status.created_at > before.created_at
    assert (status.model, status.device, status.requested_model) == ("mdx", "cuda", None)


def test_failure_of_the_new_work_has_no_facts_of_the_old(queue: JobQueue) -> None:
    before = finish_once(queue)
    queue.enqueue(Job(job_id=SONG))
    worker = queue.consumer("w1")
    worker.fail(claim_next(worker), OOPS)
    status = status_of(queue)
    assert (status.state, status.device, status.model) == ("failed", None, None)
    assert status.created_at != before.created_at


def test_failed_job_that_is_enqueued_again_is_new(queue: JobQueue) -> None:
    queue.enqueue(Job(job_id=SONG))
    worker = queue.consumer("w1")
    claim = claim_next(worker)
    worker.renew(claim, progress=0.5, model="htdemucs", device="cpu")
    worker.fail(claim, OOPS)
    queue.enqueue(Job(job_id=SONG))
    status = status_of(queue)
    assert (status.state, status.device, status.error) == ("queued", None, None)


def test_requested_model_of_a_result_is_kept(queue: JobQueue) -> None:
    queue.enqueue(Job(job_id=SONG))
    worker = queue.consumer("w1")
    worker.finish(claim_next(worker), FOUND)
    assert status_of(queue).requested_model == "htdemucs"


# The wait in the queue, by the clock of the queue


def test_only_the_first_claim_since_the_enqueue_is_the_first(bench: QueueBench) -> None:
    bench.queue.enqueue(Job(job_id=SONG))
    worker = bench.queue.consumer("w1")
    first = claim_next(worker)
    assert first.is_first
    worker.release(first)
    released = claim_next(worker)
    assert (released.attempt, released.is_first) == (1, False)
    worker.release(released, delay_s=30)
    bench.pass_time(31)
    bench.queue.reap()
    held = claim_next(worker)
    assert not held.is_first
    worker.finish(held, RESULT)
    bench.queue.enqueue(Job(job_id=SONG))
    assert claim_next(worker).is_first


def test_claim_of_an_entry_pushed_by_hand_is_not_the_first(bench: QueueBench) -> None:
    """The time of its enqueue is unknown."""
    bench.push(SONG.encode())
    claim = claim_next(bench.queue.consumer("w1"))
    assert not claim.is_first
    assert claim.waited_s == pytest.approx(0, abs=0.5)


def test_wait_is_measured_from_the_last_enqueue_by_the_clock_of_the_queue(bench: QueueBench) -> None:
    finish_once(bench.queue)
    bench.pass_time(1000)
    bench.queue.enqueue(Job(job_id=SONG))
    bench.pass_time(500)
    payload = (worker := bench.queue.consumer("w1")).take(timeout_s=AT_ONCE_S)
    assert payload
    assert 500 <= worker.claim(Job.decode(payload), payload=payload).waited_s < 510
