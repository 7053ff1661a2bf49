"""Songs that a broker got a while ago."""

import pytest

from common.tests.backends import QueueBench
from common.tests.steps import OTHER, SONG
from msaas.errors import QueueFull, QueueUnavailable
from msaas.queue.memory import InMemorySongRegistry
from msaas.queue.song_registry import PUBLISHED_S, SongRegistry
from tests.servers import wait_until


def test_song_is_published_until_that_is_forgotten(registry: SongRegistry) -> None:
    assert not registry.is_published(SONG)
    for _ in range(2):
        registry.note_publication(SONG)
    assert registry.is_published(SONG)
    assert not registry.is_published(OTHER)
    for _ in range(2):
        registry.forget_publication(SONG)
    assert not registry.is_published(SONG)


def test_publication_expires(bench: QueueBench) -> None:
    bench.registry.note_publication(SONG)
    bench.pass_time(PUBLISHED_S - 60)
    assert bench.registry.is_published(SONG)
    bench.pass_time(120)
    wait_until(lambda: not bench.registry.is_published(SONG), timeout_s=5)


def test_twin_can_be_turned_off_and_full() -> None:
    registry = InMemorySongRegistry()
    registry.full = True
    with pytest.raises(QueueFull):
        registry.note_publication(SONG)
    registry.away = True
    for call in (registry.note_publication, registry.is_published, registry.forget_publication):
        with pytest.raises(QueueUnavailable):
            call(SONG)
