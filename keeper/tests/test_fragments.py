"""The fragments of ended attempts are deleted, all of them, and no others."""

import pytest

from msaas.errors import StoreUnavailable
from msaas.fragments import Fragments
from msaas.jobs import Job
from msaas.queue.consumer import Claim, Consumer
from msaas.queue.memory import InMemoryQueue
from msaas.storage.memory import InMemoryStore
from msaas.storage.song_store import SongStore
from msaas_keeper.fragments import collect_fragments
from msaas_keeper.retention import Retention

STEMS = ("drums", "vocals")
JOB_ID = "a" * 64


class Running:
    """A claimed job with fragments in the store."""

    def __init__(self) -> None:
        self.queue = InMemoryQueue()
        self.store = InMemoryStore()
        self.song_store = SongStore(self.store)
        self.song_store.prepare()
        self.consumer: Consumer = self.queue.consumer("w1")
        self.queue.enqueue(Job(job_id=JOB_ID))
        payload = self.consumer.take(timeout_s=1)
        assert payload
        self.claim: Claim = self.consumer.claim(Job.decode(payload), payload=payload)

    def publish(self, *, count: int, stored: int) -> Fragments:
        """Publish `count` fragments and store `stored` of them."""
        fragments = Fragments(job_id=JOB_ID, tag="first", stems=STEMS, count=count, until_s=5.12 * count)
        self.consumer.renew(self.claim, progress=0.5, fragments=fragments)
        for number in range(1, stored + 1):
            for stem in STEMS:
                self.song_store.fragments.put(fragments, stem, number=number, mp3=b"mp3")
        return fragments

    def stored(self) -> list[str]:
        return [found.key for found in self.song_store.outputs()]


@pytest.fixture
def running() -> Running:
    return Running()


@pytest.mark.parametrize("count", [0, 2])
def test_all_fragments_of_an_ended_attempt_are_deleted(running: Running, count: int) -> None:
    """A killed worker may have stored one more than it published."""
    running.publish(count=count, stored=count + 1)
    running.consumer.release(running.claim)
    collect_fragments(running.queue, running.song_store)
    assert running.stored() == []
    assert running.queue.fragments == {}


def test_fragments_of_a_running_attempt_stay(running: Running) -> None:
    running.publish(count=1, stored=2)
    collect_fragments(running.queue, running.song_store)
    assert len(running.stored()) == 4


def test_fragments_are_deleted_when_the_store_is_back(running: Running) -> None:
    running.publish(count=1, stored=1)
    running.consumer.release(running.claim)
    running.store.away = True
    with pytest.raises(StoreUnavailable):
        collect_fragments(running.queue, running.song_store)
    running.store.away = False
    collect_fragments(running.queue, running.song_store)
    assert running.stored() == []


def test_unregistered_fragments_are_deleted_by_retention(running: Running) -> None:
    """For example after the queue lost its data."""
    running.publish(count=1, stored=1)
    running.queue.fragments.clear()
    for age_s, deleted in ((3600.0, 0), (-1.0, 2)):
        retention = Retention(
            queue=running.queue,
            registry=running.queue.registry,
            song_store=running.song_store,
            age_s=age_s,
            spared=[],
        )
        assert retention.sweep() == deleted
    assert running.stored() == []
