"""The in-memory queue can be turned off and full."""

import threading

import pytest

from common.tests.steps import SONG
from msaas.errors import QueueFull, QueueUnavailable
from msaas.jobs import Job
from msaas.queue.memory import InMemoryQueue


def test_in_memory_queue_can_be_turned_off() -> None:
    twin = InMemoryQueue()
    twin.enqueue(Job(job_id=SONG))
    twin.away = twin.outbox.away = True
    for call in (
        twin.ping,
        twin.waiting,
        twin.reap,
        lambda: twin.enqueue(Job(job_id=SONG)),
        lambda: twin.consumer("w1").take(timeout_s=0),
        lambda: twin.outbox.receive(visibility_s=1),
    ):
        with pytest.raises(QueueUnavailable):
            call()


def test_in_memory_queue_can_be_full() -> None:
    twin = InMemoryQueue()
    twin.full = True
    with pytest.raises(QueueFull):
        twin.enqueue(Job(job_id=SONG))
    assert twin.waiting() == []


def test_in_memory_take_waits() -> None:
    twin = InMemoryQueue()
    threading.Timer(0.05, lambda: twin.enqueue(Job(job_id=SONG))).start()
    assert twin.consumer("w1").take(timeout_s=5)
