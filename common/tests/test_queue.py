"""What every queue does, in memory and on each server."""

import threading
import time

import pytest

from common.tests.backends import POLICY, QueueBench
from msaas.errors import AttemptsExhausted, ClaimRefused, LeaseLost, QueueFull, QueueUnavailable
from msaas.jobs import Callback, Job, JobError, JobState
from msaas.queue import Claim, Consumer, JobQueue, Result
from msaas.testing import InMemoryQueue

SONG, OTHER, THIRD = "a" * 64, "b" * 64, "c" * 64
RESULT = Result("htdemucs", "cpu", ("drums", "bass", "other", "vocals"))
OOPS = JobError("separation_failed", "The separation failed.", "oops")
AT_ONCE_S = 0.05


def claimed(consumer: Consumer) -> Claim:
    payload = consumer.take(timeout_s=AT_ONCE_S)
    assert payload is not None
    return consumer.claim(Job.decode(payload), payload=payload)


def state(queue: JobQueue, job_id: str = SONG) -> JobState:
    status = queue.status(job_id)
    assert status is not None
    return status.state


def test_a_queue_that_answers_is_pinged(queue: JobQueue) -> None:
    queue.ping()


def test_songs_are_taken_in_the_order_in_which_they_came(queue: JobQueue) -> None:
    for song in (SONG, OTHER, THIRD):
        queue.enqueue(Job(song))
    assert queue.waiting() == [SONG, OTHER, THIRD]
    worker = queue.consumer("w1")
    taken = []
    while queue.waiting():
        claim = claimed(worker)
        taken.append(claim.job.songhash)
        worker.finish(claim, RESULT)
    assert taken == [SONG, OTHER, THIRD]


def test_an_empty_queue_gives_nothing(queue: JobQueue) -> None:
    assert queue.consumer("w1").take(timeout_s=AT_ONCE_S) is None
    assert queue.waiting() == []
    assert queue.status(SONG) is None


def test_a_song_that_waits_or_runs_is_not_queued_twice(queue: JobQueue) -> None:
    assert queue.enqueue(Job(SONG)) is JobState.QUEUED
    assert queue.enqueue(Job(SONG)) is JobState.QUEUED
    assert queue.waiting() == [SONG]
    claimed(queue.consumer("w1"))
    assert queue.enqueue(Job(SONG)) is JobState.RUNNING
    assert queue.waiting() == []


def test_a_song_that_is_done_may_be_queued_again(queue: JobQueue) -> None:
    queue.enqueue(Job(SONG))
    worker = queue.consumer("w1")
    worker.finish(claimed(worker), RESULT)
    assert queue.enqueue(Job(SONG)) is JobState.QUEUED
    assert claimed(worker).attempt == 1


def test_a_state_without_an_entry_is_not_believed(queue: JobQueue, bench: QueueBench) -> None:
    queue.enqueue(Job(SONG))
    thief = queue.consumer("thief")
    payload = thief.take(timeout_s=AT_ONCE_S)
    assert payload is not None
    thief.bury(payload, reason="stolen")
    assert queue.enqueue(Job(SONG)) is JobState.QUEUED
    assert queue.waiting() == [SONG]


@pytest.mark.parametrize(
    "payload",
    [SONG.encode(), f'{{"hash": "{SONG}"}}'.encode(), f'{{"songhash": "{SONG}"}}'.encode()],
    ids=["bare", "hash", "songhash"],
)
def test_an_entry_pushed_by_hand_is_a_job(bench: QueueBench, payload: bytes) -> None:
    bench.push(payload)
    assert bench.queue.waiting() == [SONG]
    worker = bench.queue.consumer("w1")
    worker.finish(claimed(worker), RESULT)
    assert state(bench.queue) is JobState.DONE


def test_progress_and_facts_of_a_running_job_are_told(queue: JobQueue) -> None:
    queue.enqueue(Job(SONG, model="htdemucs_ft"))
    worker = queue.consumer("w1")
    claim = claimed(worker)
    worker.renew(claim, progress=0.5, model="htdemucs", device="cpu")
    worker.renew(claim, progress=0.75)
    status = queue.status(SONG)
    assert status is not None
    assert (status.state, status.progress, status.model, status.device, status.attempts) == (
        JobState.RUNNING,
        0.75,
        "htdemucs",
        "cpu",
        1,
    )
    assert status.created_at
    assert status.started_at
    assert not status.finished_at


def test_progress_is_one_only_when_the_job_is_done(queue: JobQueue) -> None:
    queue.enqueue(Job(SONG))
    worker = queue.consumer("w1")
    claim = claimed(worker)
    worker.renew(claim, progress=1.0)
    running = queue.status(SONG)
    worker.finish(claim, RESULT)
    done = queue.status(SONG)
    assert running
    assert done
    assert running.progress < 1
    assert (done.progress, done.stems, done.model) == (1, RESULT.stems, "htdemucs")
    assert done.finished_at


def test_finishing_twice_is_no_error(queue: JobQueue) -> None:
    queue.enqueue(Job(SONG))
    worker = queue.consumer("w1")
    claim = claimed(worker)
    worker.finish(claim, RESULT)
    worker.finish(claim, RESULT)
    assert queue.depth().in_flight == 0


def test_failing_twice_is_no_error(queue: JobQueue) -> None:
    queue.enqueue(Job(SONG))
    worker = queue.consumer("w1")
    claim = claimed(worker)
    worker.fail(claim, OOPS)
    worker.fail(claim, OOPS)
    worker.retry(claim, OOPS)
    assert state(queue) is JobState.FAILED


def test_a_job_that_fails_for_good_says_why(queue: JobQueue) -> None:
    queue.enqueue(Job(SONG))
    worker = queue.consumer("w1")
    worker.fail(claimed(worker), OOPS)
    status = queue.status(SONG)
    assert status is not None
    assert (status.state, status.error) == (JobState.FAILED, OOPS)
    assert queue.depth().dead == 0


def test_a_retried_job_dies_after_its_last_attempt(bench: QueueBench) -> None:
    queue, worker = bench.queue, bench.queue.consumer("w1")
    queue.enqueue(Job(SONG))
    for attempt in range(1, POLICY.max_attempts + 1):
        assert state(queue) is JobState.QUEUED
        claim = claimed(worker)
        assert claim.attempt == attempt
        worker.retry(claim, OOPS)
    status = queue.status(SONG)
    assert status is not None
    assert (status.state, status.attempts, status.error) == (JobState.FAILED, POLICY.max_attempts, OOPS)
    assert SONG.encode() in bench.dead()[0]


def test_a_job_given_back_was_never_taken(queue: JobQueue) -> None:
    queue.enqueue(Job(SONG))
    queue.enqueue(Job(OTHER))
    worker = queue.consumer("w1")
    worker.give_back(claimed(worker))
    assert queue.waiting() == [SONG, OTHER]
    again = claimed(worker)
    assert (again.attempt, again.give_backs) == (1, 1)


def test_a_delayed_job_waits_until_its_time_has_come(bench: QueueBench) -> None:
    queue, worker = bench.queue, bench.queue.consumer("w1")
    queue.enqueue(Job(SONG))
    worker.give_back(claimed(worker), delay_s=30)
    assert queue.reap() == []
    assert queue.depth().delayed == 1
    assert queue.enqueue(Job(SONG)) is JobState.QUEUED
    assert queue.waiting() == []
    bench.pass_time(31)
    queue.reap()
    again = claimed(worker)
    assert (again.attempt, again.give_backs) == (1, 0)


def test_the_job_of_a_silent_worker_goes_to_another(bench: QueueBench) -> None:
    queue = bench.queue
    queue.enqueue(Job(SONG))
    silent = claimed(queue.consumer("silent"))
    assert queue.reap() == []
    bench.pass_time(POLICY.lease_s + 1)
    assert queue.reap() == [SONG]
    assert silent.attempt + 1 == claimed(queue.consumer("next")).attempt


def test_a_worker_that_speaks_keeps_its_job(bench: QueueBench) -> None:
    queue = bench.queue
    queue.enqueue(Job(SONG))
    worker = queue.consumer("w1")
    claim = claimed(worker)
    for _ in range(3):
        bench.pass_time(POLICY.lease_s * 0.7)
        worker.renew(claim, progress=0.1)
        assert queue.reap() == []
    worker.finish(claim, RESULT)


@pytest.mark.parametrize("step", ["renew", "finish", "fail", "retry", "give_back"])
def test_a_late_worker_changes_nothing(bench: QueueBench, step: str) -> None:
    queue = bench.queue
    queue.enqueue(Job(SONG))
    late = queue.consumer("late")
    stale = claimed(late)
    bench.pass_time(POLICY.lease_s + 1)
    queue.reap()
    current = claimed(queue.consumer("current"))
    before = queue.status(SONG), queue.depth()
    call = {
        "renew": lambda: late.renew(stale, progress=0.9),
        "finish": lambda: late.finish(stale, RESULT),
        "fail": lambda: late.fail(stale, OOPS),
        "retry": lambda: late.retry(stale, OOPS),
        "give_back": lambda: late.give_back(stale),
    }[step]
    with pytest.raises(LeaseLost):
        call()
    assert (queue.status(SONG), queue.depth()) == before
    queue.consumer("current").finish(current, RESULT)


def test_a_job_that_ends_its_workers_lies_with_the_dead(bench: QueueBench) -> None:
    queue = bench.queue
    queue.enqueue(Job(SONG))
    for attempt in range(POLICY.max_attempts):
        claimed(queue.consumer(f"victim-{attempt}"))
        bench.pass_time(POLICY.lease_s + 1)
        queue.reap()
    status = queue.status(SONG)
    assert status is not None
    assert status.error is not None
    assert (status.state, status.error.code) == (JobState.FAILED, "attempts_exhausted")
    assert queue.depth() == type(queue.depth())(waiting=0, in_flight=0, delayed=0, dead=1)


def test_posting_a_song_again_gives_it_no_new_attempts(bench: QueueBench) -> None:
    queue = bench.queue
    for attempt in range(POLICY.max_attempts):
        queue.enqueue(Job(SONG))
        assert claimed(queue.consumer(f"victim-{attempt}")).attempt == attempt + 1
        bench.pass_time(POLICY.lease_s + 1)
        assert queue.enqueue(Job(SONG)) is JobState.RUNNING
        queue.reap()
    assert state(queue) is JobState.FAILED


def test_a_song_that_died_may_be_tried_again(bench: QueueBench) -> None:
    queue, worker = bench.queue, bench.queue.consumer("w1")
    queue.enqueue(Job(SONG))
    worker.fail(claimed(worker), OOPS)
    queue.enqueue(Job(SONG))
    assert claimed(worker).attempt == 1


def test_one_of_two_equal_entries_is_refused_while_the_other_is_worked_on(bench: QueueBench) -> None:
    bench.push(SONG.encode())
    bench.push(SONG.encode())
    first, second = bench.queue.consumer("w1"), bench.queue.consumer("w2")
    claim = claimed(first)
    with pytest.raises(ClaimRefused, match="held"):
        claimed(second)
    assert bench.queue.depth().in_flight == 1
    first.finish(claim, RESULT)
    assert bench.queue.depth().in_flight == 0


def test_what_another_has_taken_cannot_be_claimed(queue: JobQueue) -> None:
    queue.enqueue(Job(SONG))
    payload = queue.consumer("w1").take(timeout_s=AT_ONCE_S)
    assert payload is not None
    with pytest.raises(ClaimRefused, match="gone"):
        queue.consumer("w2").claim(Job(SONG), payload=payload)


def test_an_entry_whose_claim_was_never_answered_costs_no_attempt(bench: QueueBench) -> None:
    bench.queue.enqueue(Job(SONG))
    claimed(bench.queue.consumer("w1"))
    deaf = bench.queue.consumer("w1")  # The same worker, as if it had not heard of its claim.
    assert claimed(deaf).attempt == 1


def test_a_job_dropped_without_a_word_counts_each_time(queue: JobQueue) -> None:
    queue.enqueue(Job(SONG))
    worker = queue.consumer("w1")
    for attempt in range(1, POLICY.max_attempts + 1):
        assert claimed(worker).attempt == attempt
    with pytest.raises(AttemptsExhausted):
        claimed(worker)
    assert state(queue) is JobState.FAILED
    assert queue.depth() == type(queue.depth())(waiting=0, in_flight=0, delayed=0, dead=1)


def test_an_entry_that_is_no_job_lies_with_the_dead_once(bench: QueueBench) -> None:
    bench.push(b"{not json")
    worker = bench.queue.consumer("w1")
    payload = worker.take(timeout_s=AT_ONCE_S)
    assert payload == b"{not json"
    worker.bury(payload, reason="It is not JSON.")
    worker.bury(payload, reason="It is not JSON.")
    assert len(bench.dead()) == 1
    assert b"{not json" in bench.dead()[0]
    assert bench.queue.depth().in_flight == 0


def test_an_empty_entry_is_an_entry(bench: QueueBench) -> None:
    bench.push(b"")
    bench.queue.enqueue(Job(SONG))
    worker = bench.queue.consumer("w1")
    for _ in range(2):
        assert worker.take(timeout_s=AT_ONCE_S) == b""
    worker.bury(b"", reason="It is empty.")
    assert claimed(worker).job.songhash == SONG


def test_the_oldest_dead_letters_are_dropped(bench: QueueBench) -> None:
    worker = bench.queue.consumer("w1")
    for number in range(POLICY.max_dead + 3):
        bench.push(b"{%d" % number)
        worker.bury(worker.take(timeout_s=AT_ONCE_S) or b"", reason="It is not JSON.")
    assert len(bench.dead()) == POLICY.max_dead
    assert b"{7" in bench.dead()[0]


def test_an_idle_worker_that_beats_is_not_reaped(bench: QueueBench) -> None:
    worker = bench.queue.consumer("w1")
    bench.push(SONG.encode())
    assert worker.take(timeout_s=AT_ONCE_S)
    bench.pass_time(POLICY.lease_s * 0.7)
    worker.beat()
    bench.pass_time(POLICY.lease_s * 0.7)
    bench.queue.reap()
    assert bench.queue.depth().in_flight == 1


def test_a_worker_that_leaves_puts_back_what_it_has_not_claimed(bench: QueueBench) -> None:
    bench.push(SONG.encode())
    bench.push(OTHER.encode())
    worker = bench.queue.consumer("w1")
    worker.take(timeout_s=AT_ONCE_S)
    worker.leave()
    assert bench.queue.waiting() == [SONG, OTHER]


def test_a_worker_that_leaves_with_a_lease_is_reaped_once_it_is_over(bench: QueueBench) -> None:
    bench.queue.enqueue(Job(SONG))
    worker = bench.queue.consumer("w1")
    claimed(worker)
    worker.leave()
    assert bench.queue.reap() == []
    bench.pass_time(POLICY.lease_s + 1)
    assert bench.queue.reap() == [SONG]


def test_an_entry_that_was_refused_once_is_not_lost_later(bench: QueueBench) -> None:
    bench.push(SONG.encode())
    bench.push(SONG.encode())
    first, second = bench.queue.consumer("w1"), bench.queue.consumer("w2")
    claimed(first)
    bench.pass_time(POLICY.lease_s - 1)
    first.beat()
    bench.pass_time(2)
    current = claimed(second)  # The first one's lease is over, though it lives.
    with pytest.raises(ClaimRefused):
        claimed(first)
    second.give_back(current)
    assert first.take(timeout_s=AT_ONCE_S) == SONG.encode()
    bench.pass_time(POLICY.lease_s + 1)  # The first one dies before it claims.
    bench.queue.reap()
    assert bench.queue.waiting() == [SONG]


def test_what_reaches_a_worker_after_it_left_is_not_lost(bench: QueueBench) -> None:
    worker = bench.queue.consumer("w1")
    worker.leave()
    bench.push(SONG.encode())
    # The move that was under way when the worker left; it never claims.
    worker.take(timeout_s=AT_ONCE_S)
    bench.pass_time(POLICY.lease_s + 1)
    bench.queue.reap()
    assert bench.queue.waiting() == [SONG]


def test_a_name_is_forgotten_an_hour_after_its_worker(bench: QueueBench) -> None:
    bench.queue.consumer("w1").beat()
    bench.pass_time(2 * 3600)
    bench.queue.reap()
    bench.queue.reap()
    assert bench.queue.depth().in_flight == 0


# Callbacks


def test_each_accepted_request_has_its_own_callback(bench: QueueBench) -> None:
    for port in (1, 2):
        bench.queue.enqueue(Job(SONG, callback=Callback(f"http://localhost:{port}", data={"n": port})))
    assert [each.state for each in bench.outbox.deliveries(SONG)] == ["waiting", "waiting"]
    assert bench.outbox.due(visibility_s=60) is None
    worker = bench.queue.consumer("w1")
    worker.finish(claimed(worker), RESULT)
    due = [bench.outbox.due(visibility_s=60) for _ in range(3)]
    assert sorted(each.body for each in due if each) == [b'{"n": 1}', b'{"n": 2}']
    assert due[2] is None


def test_a_callback_without_data_tells_the_state(bench: QueueBench) -> None:
    bench.queue.enqueue(Job(SONG, callback=Callback("http://localhost:1")))
    worker = bench.queue.consumer("w1")
    worker.fail(claimed(worker), OOPS)
    due = bench.outbox.due(visibility_s=60)
    assert due is not None
    assert due.body == f'{{"songhash": "{SONG}", "state": "failed"}}'.encode()


def test_plain_data_is_not_sent_for_a_failure(bench: QueueBench) -> None:
    bench.queue.enqueue(Job(SONG, callback=Callback("http://localhost:1", data={"to": "back"})))
    worker = bench.queue.consumer("w1")
    worker.fail(claimed(worker), OOPS)
    assert bench.outbox.due(visibility_s=60) is None
    assert [each.state for each in bench.outbox.deliveries(SONG)] == ["skipped"]


def test_a_callback_survives_the_attempts_of_its_job(bench: QueueBench) -> None:
    bench.queue.enqueue(Job(SONG, callback=Callback("http://localhost:1")))
    worker = bench.queue.consumer("w1")
    worker.retry(claimed(worker), OOPS)
    worker.give_back(claimed(worker))
    assert bench.outbox.due(visibility_s=60) is None
    worker.finish(claimed(worker), RESULT)
    assert bench.outbox.due(visibility_s=60)


def test_the_callbacks_of_a_job_that_ended_its_workers_are_released(bench: QueueBench) -> None:
    bench.queue.enqueue(Job(SONG, callback=Callback("http://localhost:1")))
    for attempt in range(POLICY.max_attempts):
        claimed(bench.queue.consumer(f"victim-{attempt}"))
        bench.pass_time(POLICY.lease_s + 1)
        bench.queue.reap()
    due = bench.outbox.due(visibility_s=60)
    assert due is not None
    assert b'"failed"' in due.body


def test_a_callback_in_a_message_counts_once_however_often_it_is_delivered(bench: QueueBench) -> None:
    message = Job(SONG, callback=Callback("http://localhost:1", data=[1])).encode()
    worker = bench.queue.consumer("w1")
    for _ in range(3):
        bench.push(message)
        worker.finish(claimed(worker), RESULT)
    assert len(bench.outbox.deliveries(SONG)) == 1
    assert bench.outbox.due(visibility_s=60)
    assert bench.outbox.due(visibility_s=60) is None


def test_a_callback_of_a_done_job_is_due_at_once(bench: QueueBench) -> None:
    delivery_id = bench.outbox.add(Callback("http://localhost:1", data={"x": 1}), job_id=SONG)
    due = bench.outbox.due(visibility_s=60)
    assert due is not None
    assert (due.id, due.job_id, due.url, due.body, due.attempts) == (
        delivery_id,
        SONG,
        "http://localhost:1",
        b'{"x": 1}',
        1,
    )


def test_a_sender_that_dies_leaves_its_delivery_to_another(bench: QueueBench) -> None:
    bench.outbox.add(Callback("http://localhost:1"), job_id=SONG)
    first = bench.outbox.due(visibility_s=60)
    assert bench.outbox.due(visibility_s=60) is None
    bench.pass_time(61)
    second = bench.outbox.due(visibility_s=60)
    assert first
    assert second
    assert (second.id, second.attempts) == (first.id, 2)


def test_a_delivery_tried_again_later_keeps_its_id(bench: QueueBench) -> None:
    delivery_id = bench.outbox.add(Callback("http://localhost:1"), job_id=SONG)
    bench.outbox.due(visibility_s=60)
    bench.outbox.again(delivery_id, delay_s=10, detail="503")
    assert bench.outbox.due(visibility_s=60) is None
    assert [each.detail for each in bench.outbox.deliveries(SONG)] == ["503"]
    bench.pass_time(11)
    due = bench.outbox.due(visibility_s=60)
    assert due is not None
    assert (due.id, due.attempts) == (delivery_id, 2)


@pytest.mark.parametrize("end", ["delivered", "refused", "dead"])
def test_a_settled_delivery_is_never_sent_again(bench: QueueBench, end: str) -> None:
    delivery_id = bench.outbox.add(Callback("http://localhost:1"), job_id=SONG)
    bench.outbox.due(visibility_s=60)
    bench.outbox.settle(delivery_id, state=end, detail="why")
    bench.pass_time(3600)
    assert bench.outbox.due(visibility_s=60) is None
    assert [(each.state, each.detail) for each in bench.outbox.deliveries(SONG)] == [(end, "why")]


def test_an_entry_that_is_no_job_is_not_listed(bench: QueueBench) -> None:
    bench.push(b"{not json")
    bench.queue.enqueue(Job(SONG))
    assert bench.queue.waiting() == [SONG]
    assert bench.queue.depth().waiting == 2


# The twins' switches


def test_a_twin_can_be_turned_off() -> None:
    twin = InMemoryQueue()
    twin.enqueue(Job(SONG))
    twin.away = twin.outbox.away = True
    for call in (
        twin.ping,
        twin.waiting,
        twin.reap,
        lambda: twin.enqueue(Job(SONG)),
        lambda: twin.consumer("w1").take(timeout_s=0),
        lambda: twin.outbox.due(visibility_s=1),
    ):
        with pytest.raises(QueueUnavailable):
            call()


def test_a_twin_can_be_full() -> None:
    twin = InMemoryQueue()
    twin.full = True
    with pytest.raises(QueueFull):
        twin.enqueue(Job(SONG))
    assert twin.waiting() == []


def test_a_twin_lets_its_consumers_wait() -> None:
    twin = InMemoryQueue()
    threading.Timer(0.05, lambda: twin.enqueue(Job(SONG))).start()
    assert twin.consumer("w1").take(timeout_s=5)


# What goes on


def test_a_song_is_open_until_all_its_jobs_have_ended(bench: QueueBench) -> None:
    variant = f"{SONG}.0123456789ab"
    bench.queue.enqueue(Job(SONG))
    bench.queue.enqueue(Job(variant))
    bench.push(b"{no job")
    worker = bench.queue.consumer("w1")
    first = claimed(worker)
    assert bench.queue.open_songs() == {SONG}
    worker.finish(first, RESULT)
    worker.give_back(claimed(worker), delay_s=60)
    assert bench.queue.open_songs() == {SONG}
    bench.pass_time(61)
    bench.queue.reap()
    while (payload := worker.take(timeout_s=0.01)) is not None:
        if payload.startswith(b"{no"):
            worker.bury(payload, reason="malformed")
        else:
            worker.finish(worker.claim(Job.decode(payload), payload=payload), RESULT)
    assert bench.queue.open_songs() == set()


def test_of_many_one_has_its_turn(bench: QueueBench) -> None:
    assert [bench.queue.take_turn("sweep", every_s=1.5) for _ in range(3)] == [True, False, False]
    assert bench.queue.take_turn("other", every_s=1.5)
    time.sleep(1.6)
    assert bench.queue.take_turn("sweep", every_s=1.5)
