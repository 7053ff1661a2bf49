"""Workers that start and stop: no entry is lost."""

import pytest

from common.tests.backends import POLICY, QueueBench
from common.tests.steps import AT_ONCE_S, OTHER, SONG, claim_next
from msaas.errors import ClaimRefused
from msaas.jobs import Job


def test_idle_worker_with_heartbeats_is_not_reaped(bench: QueueBench) -> None:
    worker = bench.queue.consumer("w1")
    bench.push(SONG.encode())
    assert worker.take(timeout_s=AT_ONCE_S)
    bench.pass_time(POLICY.lease_s * 0.7)
    worker.heartbeat()
    bench.pass_time(POLICY.lease_s * 0.7)
    bench.queue.reap()
    assert bench.queue.depth().in_flight == 1


def test_deregister_returns_unclaimed_entries(bench: QueueBench) -> None:
    bench.push(SONG.encode())
    bench.push(OTHER.encode())
    worker = bench.queue.consumer("w1")
    worker.take(timeout_s=AT_ONCE_S)
    worker.deregister()
    assert bench.queue.waiting() == [SONG, OTHER]


def test_lease_of_a_deregistered_worker_is_reaped_when_it_expires(bench: QueueBench) -> None:
    bench.queue.enqueue(Job(job_id=SONG))
    worker = bench.queue.consumer("w1")
    claim_next(worker)
    worker.deregister()
    assert bench.queue.reap() == []
    bench.pass_time(POLICY.lease_s + 1)
    assert bench.queue.reap() == [SONG]


def test_refused_entry_is_not_lost_later(bench: QueueBench) -> None:
    bench.push(SONG.encode())
    bench.push(SONG.encode())
    first, second = bench.queue.consumer("w1"), bench.queue.consumer("w2")
    claim_next(first)
    bench.pass_time(POLICY.lease_s - 1)
    first.heartbeat()
    bench.pass_time(2)
    current = claim_next(second)  # The lease of the first one expires, though it lives.
    with pytest.raises(ClaimRefused):
        claim_next(first)
    second.release(current)
    assert first.take(timeout_s=AT_ONCE_S) == SONG.encode()
    bench.pass_time(POLICY.lease_s + 1)  # The first one dies before it claims.
    bench.queue.reap()
    assert bench.queue.waiting() == [SONG]


def test_entry_that_arrives_after_deregister_is_not_lost(bench: QueueBench) -> None:
    worker = bench.queue.consumer("w1")
    worker.deregister()
    bench.push(SONG.encode())
    # A move that was in flight at deregister; the worker never claims.
    worker.take(timeout_s=AT_ONCE_S)
    bench.pass_time(POLICY.lease_s + 1)
    bench.queue.reap()
    assert bench.queue.waiting() == [SONG]


def test_worker_is_forgotten_an_hour_after_its_lease(bench: QueueBench) -> None:
    bench.queue.consumer("w1").heartbeat()
    bench.pass_time(2 * 3600)
    bench.queue.reap()
    bench.queue.reap()
    assert bench.queue.depth().in_flight == 0


def test_workers_with_a_lease_are_named(bench: QueueBench) -> None:
    for name in ("w1", "w2"):
        bench.queue.consumer(name).heartbeat()
    assert bench.queue.live_workers() == {"w1", "w2"}
    bench.pass_time(POLICY.lease_s * 0.9)
    bench.queue.consumer("w2").heartbeat()
    bench.pass_time(POLICY.lease_s * 0.2)
    assert bench.queue.live_workers() == {"w2"}
