"""Workers come and go; no entry is lost with them."""

import pytest

from common.tests.backends import POLICY, QueueBench
from common.tests.steps import AT_ONCE_S, OTHER, SONG, claimed
from msaas.errors import ClaimRefused
from msaas.jobs import Job


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
