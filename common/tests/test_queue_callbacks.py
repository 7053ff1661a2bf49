"""A job's callbacks are released by the step that ends it, each once."""

import json

import pytest

from common.tests.backends import POLICY, QueueBench
from common.tests.steps import OOPS, RESULT, SONG, claimed
from msaas.jobs import Callback, Job


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


def test_a_message_that_is_to_have_a_callback_of_its_own_differs_from_the_one_before(
    bench: QueueBench,
) -> None:
    worker = bench.queue.consumer("w1")
    for number in (1, 1, 2):
        message = {"songhash": SONG, "callback": {"url": "http://localhost:1"}, "request": number}
        bench.push(json.dumps(message).encode())
        worker.finish(claimed(worker), RESULT)
    assert len(bench.outbox.deliveries(SONG)) == 2


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
    first = bench.outbox.due(visibility_s=60)
    assert first
    bench.outbox.again(first, delay_s=10, detail="503")
    assert bench.outbox.due(visibility_s=60) is None
    assert [each.detail for each in bench.outbox.deliveries(SONG)] == ["503"]
    bench.pass_time(11)
    due = bench.outbox.due(visibility_s=60)
    assert due is not None
    assert (due.id, due.attempts) == (delivery_id, 2)


@pytest.mark.parametrize("end", ["delivered", "refused", "dead"])
def test_a_settled_delivery_is_never_sent_again(bench: QueueBench, end: str) -> None:
    bench.outbox.add(Callback("http://localhost:1"), job_id=SONG)
    due = bench.outbox.due(visibility_s=60)
    assert due
    bench.outbox.settle(due, state=end, detail="why")
    bench.pass_time(3600)
    assert bench.outbox.due(visibility_s=60) is None
    assert [(each.state, each.detail) for each in bench.outbox.deliveries(SONG)] == [(end, "why")]
