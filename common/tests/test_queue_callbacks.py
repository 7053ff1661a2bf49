"""Callbacks of a job: released once, by the step that ends it."""

import json
from typing import Any

import pytest

from common.tests.backends import POLICY, QueueBench
from common.tests.steps import OOPS, OTHER, RESULT, SONG, claim_next
from msaas.jobs import Callback, Job


def test_each_accepted_request_has_its_own_callback(bench: QueueBench) -> None:
    for port in (1, 2):
        bench.queue.enqueue(Job(job_id=SONG, callback=Callback(f"http://localhost:{port}", data={"n": port})))
    assert [each.state for each in bench.outbox.deliveries(SONG)] == ["waiting", "waiting"]
    assert bench.outbox.receive(visibility_s=60) is None
    worker = bench.queue.consumer("w1")
    worker.finish(claim_next(worker), RESULT)
    delivery = [bench.outbox.receive(visibility_s=60) for _ in range(3)]
    assert sorted(each.body for each in delivery if each) == [b'{"n": 1}', b'{"n": 2}']
    assert delivery[2] is None


def test_callback_without_data_sends_the_state(bench: QueueBench) -> None:
    bench.queue.enqueue(Job(job_id=SONG, callback=Callback("http://localhost:1")))
    worker = bench.queue.consumer("w1")
    worker.fail(claim_next(worker), OOPS)
    delivery = bench.outbox.receive(visibility_s=60)
    assert delivery is not None
    assert delivery.body == f'{{"songhash": "{SONG}", "state": "failed"}}'.encode()


def test_callback_with_data_is_skipped_after_a_failure(bench: QueueBench) -> None:
    bench.queue.enqueue(Job(job_id=SONG, callback=Callback("http://localhost:1", data={"to": "back"})))
    worker = bench.queue.consumer("w1")
    worker.fail(claim_next(worker), OOPS)
    assert bench.outbox.receive(visibility_s=60) is None
    assert [each.state for each in bench.outbox.deliveries(SONG)] == ["skipped"]


@pytest.mark.parametrize("data", [{"to": "back"}, None])
def test_failure_is_sent_with_its_reason_to_a_callback_that_asks_for_it(bench: QueueBench, data: Any) -> None:
    callback = Callback("http://localhost:1", data=data, events=("done", "failed"))
    bench.queue.enqueue(Job(job_id=SONG, callback=callback))
    worker = bench.queue.consumer("w1")
    worker.fail(claim_next(worker), OOPS)
    delivery = bench.outbox.receive(visibility_s=60)
    assert delivery is not None
    assert json.loads(delivery.body) == {
        "songhash": SONG,
        "state": "failed",
        "error": {"code": "separation_failed", "title": "The separation failed.", "detail": "oops"},
        "data": data,
    }


def test_success_is_sent_as_data_also_with_events(bench: QueueBench) -> None:
    callback = Callback("http://localhost:1", data={"to": "back"}, events=("done", "failed"))
    bench.queue.enqueue(Job(job_id=SONG, callback=callback))
    worker = bench.queue.consumer("w1")
    worker.finish(claim_next(worker), RESULT)
    delivery = bench.outbox.receive(visibility_s=60)
    assert delivery is not None
    assert delivery.body == b'{"to": "back"}'


def test_end_without_its_event_is_skipped(bench: QueueBench) -> None:
    bench.queue.enqueue(Job(job_id=SONG, callback=Callback("http://localhost:1", events=("failed",))))
    bench.queue.enqueue(Job(job_id=SONG, callback=Callback("http://localhost:2", events=("done",))))
    worker = bench.queue.consumer("w1")
    worker.finish(claim_next(worker), RESULT)
    assert [each.state for each in bench.outbox.deliveries(SONG)] == ["skipped", "pending"]
    bench.outbox.add(Callback("http://localhost:3", events=("failed",)), job_id=SONG)
    assert bench.outbox.deliveries(SONG)[-1].state == "skipped"
    bench.queue.enqueue(Job(job_id=OTHER, callback=Callback("http://localhost:4", events=("done",))))
    worker.fail(claim_next(worker), OOPS)
    assert [each.state for each in bench.outbox.deliveries(OTHER)] == ["skipped"]


def test_failure_of_an_exhausted_job_is_sent_with_its_reason(bench: QueueBench) -> None:
    callback = Callback("http://localhost:1", data=1, events=("failed",))
    bench.queue.enqueue(Job(job_id=SONG, callback=callback))
    for attempt in range(POLICY.max_attempts):
        claim_next(bench.queue.consumer(f"victim-{attempt}"))
        bench.pass_time(POLICY.lease_s + 1)
        bench.queue.reap()
    delivery = bench.outbox.receive(visibility_s=60)
    assert delivery is not None
    assert json.loads(delivery.body)["error"]["code"] == "attempts_exhausted"


def test_callback_survives_the_attempts_of_its_job(bench: QueueBench) -> None:
    bench.queue.enqueue(Job(job_id=SONG, callback=Callback("http://localhost:1")))
    worker = bench.queue.consumer("w1")
    worker.retry(claim_next(worker), OOPS)
    worker.release(claim_next(worker))
    assert bench.outbox.receive(visibility_s=60) is None
    worker.finish(claim_next(worker), RESULT)
    assert bench.outbox.receive(visibility_s=60)


def test_callbacks_of_an_exhausted_job_are_released(bench: QueueBench) -> None:
    bench.queue.enqueue(Job(job_id=SONG, callback=Callback("http://localhost:1")))
    for attempt in range(POLICY.max_attempts):
        claim_next(bench.queue.consumer(f"victim-{attempt}"))
        bench.pass_time(POLICY.lease_s + 1)
        bench.queue.reap()
    delivery = bench.outbox.receive(visibility_s=60)
    assert delivery is not None
    assert b'"failed"' in delivery.body


def test_callback_of_a_message_counts_once(bench: QueueBench) -> None:
    message = Job(job_id=SONG, callback=Callback("http://localhost:1", data=[1])).encode()
    worker = bench.queue.consumer("w1")
    for _ in range(3):
        bench.push(message)
        worker.finish(claim_next(worker), RESULT)
    assert len(bench.outbox.deliveries(SONG)) == 1
    assert bench.outbox.receive(visibility_s=60)
    assert bench.outbox.receive(visibility_s=60) is None


def test_different_messages_have_different_callbacks(
    bench: QueueBench,
) -> None:
    worker = bench.queue.consumer("w1")
    for number in (1, 1, 2):
        message = {"songhash": SONG, "callback": {"url": "http://localhost:1"}, "request": number}
        bench.push(json.dumps(message).encode())
        worker.finish(claim_next(worker), RESULT)
    assert len(bench.outbox.deliveries(SONG)) == 2


def test_callback_of_a_finished_job_is_due_at_once(bench: QueueBench) -> None:
    delivery_id = bench.outbox.add(Callback("http://localhost:1", data={"x": 1}), job_id=SONG)
    delivery = bench.outbox.receive(visibility_s=60)
    assert delivery is not None
    assert (delivery.id, delivery.job_id, delivery.url, delivery.body, delivery.attempts) == (
        delivery_id,
        SONG,
        "http://localhost:1",
        b'{"x": 1}',
        1,
    )


def test_delivery_of_a_dead_dispatcher_becomes_visible_again(bench: QueueBench) -> None:
    bench.outbox.add(Callback("http://localhost:1"), job_id=SONG)
    first = bench.outbox.receive(visibility_s=60)
    assert bench.outbox.receive(visibility_s=60) is None
    bench.pass_time(61)
    second = bench.outbox.receive(visibility_s=60)
    assert first
    assert second
    assert (second.id, second.attempts) == (first.id, 2)


def test_retried_delivery_keeps_its_id(bench: QueueBench) -> None:
    delivery_id = bench.outbox.add(Callback("http://localhost:1"), job_id=SONG)
    first = bench.outbox.receive(visibility_s=60)
    assert first
    bench.outbox.retry_later(first, delay_s=10, detail="503")
    assert bench.outbox.receive(visibility_s=60) is None
    assert [each.detail for each in bench.outbox.deliveries(SONG)] == ["503"]
    bench.pass_time(11)
    delivery = bench.outbox.receive(visibility_s=60)
    assert delivery is not None
    assert (delivery.id, delivery.attempts) == (delivery_id, 2)


@pytest.mark.parametrize("end", ["delivered", "refused", "dead"])
def test_completed_delivery_is_not_received_again(bench: QueueBench, end: str) -> None:
    bench.outbox.add(Callback("http://localhost:1"), job_id=SONG)
    delivery = bench.outbox.receive(visibility_s=60)
    assert delivery
    bench.outbox.complete(delivery, state=end, detail="why")
    bench.pass_time(3600)
    assert bench.outbox.receive(visibility_s=60) is None
    assert [(each.state, each.detail) for each in bench.outbox.deliveries(SONG)] == [(end, "why")]
