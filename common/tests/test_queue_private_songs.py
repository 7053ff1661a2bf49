"""Private songs: which clients make a song private, and which make it known to the machine API."""

import pytest

from common.tests.backends import QueueBench
from common.tests.steps import OTHER, SONG, THIRD
from msaas.errors import DatabaseUnavailable, QueueFull
from msaas.queue.memory import InMemorySongRegistry
from msaas.queue.redis.song_registry import RedisSongRegistry
from msaas.queue.song_registry import DELETION_S, REQUESTED_S, SongRegistry, Visibility
from tests.servers import RedisServer, wait_until

PUBLIC, PRIVATE = Visibility.PUBLIC, Visibility.PRIVATE


def is_private(registry: SongRegistry, song: str = SONG) -> bool:
    return registry.private_songs([song]) == {song}


def test_song_of_an_account_is_private(registry: SongRegistry) -> None:
    assert registry.private_songs([]) == set()
    assert registry.request_song(SONG, visibility=PRIVATE)
    assert registry.private_songs([SONG, OTHER]) == {SONG}


def test_song_without_visibility_stays_as_it_is(registry: SongRegistry) -> None:
    registry.request_song(SONG)
    assert not is_private(registry)
    registry.request_song(OTHER, visibility=PRIVATE)
    registry.request_song(OTHER)
    assert is_private(registry, OTHER)


def test_public_request_ends_privacy_for_good(registry: SongRegistry) -> None:
    registry.request_song(SONG, visibility=PRIVATE)
    registry.request_song(SONG, visibility=PUBLIC)
    assert not is_private(registry)
    registry.request_song(SONG, visibility=PRIVATE)
    assert not is_private(registry)


def test_song_in_the_store_that_is_not_private_stays_known(registry: SongRegistry) -> None:
    registry.request_song(SONG, visibility=PRIVATE, is_stored=True)
    assert not is_private(registry)


def test_stored_private_song_stays_private(registry: SongRegistry) -> None:
    for is_stored in (False, True):
        registry.request_song(SONG, visibility=PRIVATE, is_stored=is_stored)
    assert is_private(registry)


def test_public_song_that_was_forgotten_becomes_private(bench: QueueBench) -> None:
    bench.registry.request_song(SONG, visibility=PUBLIC)
    bench.pass_time(REQUESTED_S + 5)
    wait_until(lambda: bench.registry.begin_deletion(SONG), timeout_s=5)
    bench.registry.end_deletion(SONG)
    bench.registry.request_song(SONG, visibility=PRIVATE)
    assert is_private(bench.registry)


def test_refused_request_changes_no_visibility(registry: SongRegistry) -> None:
    registry.begin_deletion(SONG)
    assert not registry.request_song(SONG, visibility=PRIVATE)
    assert not is_private(registry)
    registry.request_song(OTHER, visibility=PRIVATE)
    assert registry.begin_removal(OTHER)
    assert not registry.request_song(OTHER, visibility=PUBLIC)
    assert is_private(registry, OTHER)


# Removal


def test_removal_of_a_private_song_begins_at_once(registry: SongRegistry) -> None:
    registry.request_song(SONG, visibility=PRIVATE)
    assert not registry.begin_deletion(SONG)
    assert registry.begin_removal(SONG)
    assert not registry.request_song(SONG, visibility=PRIVATE)
    registry.end_deletion(SONG)
    assert registry.request_song(SONG, visibility=PRIVATE)


@pytest.mark.parametrize("visibility", [PUBLIC, None])
def test_song_that_is_not_private_is_not_removed(
    registry: SongRegistry, visibility: Visibility | None
) -> None:
    registry.request_song(SONG, visibility=visibility)
    assert not registry.begin_removal(SONG)
    assert registry.removals() == []
    assert registry.request_song(SONG)


def test_two_processes_do_not_remove_a_song_at_once(registry: SongRegistry) -> None:
    registry.request_song(SONG, visibility=PRIVATE)
    assert registry.begin_removal(SONG)
    assert not registry.begin_removal(SONG)


def test_removals_are_listed_until_they_are_forgotten(bench: QueueBench) -> None:
    registry = bench.registry
    for song in (SONG, OTHER, THIRD):
        registry.request_song(song, visibility=PRIVATE)
        registry.begin_removal(song)
        registry.end_deletion(song)
    # A repeated removal keeps its place.
    registry.begin_removal(SONG)
    registry.end_deletion(SONG)
    assert registry.removals() == [SONG, OTHER, THIRD]
    assert registry.removals(older_than_s=60) == []
    registry.forget_removal(OTHER)
    registry.request_song(THIRD, visibility=PUBLIC)
    assert not registry.begin_removal(THIRD)
    assert registry.removals() == [SONG]
    bench.pass_time(61)
    assert registry.removals(older_than_s=60) == [SONG]


def test_removal_that_never_ends_expires(bench: QueueBench) -> None:
    bench.registry.request_song(SONG, visibility=PRIVATE)
    bench.registry.begin_removal(SONG)
    bench.pass_time(DELETION_S - 5)
    assert not bench.registry.request_song(SONG)
    bench.pass_time(10)
    wait_until(lambda: bench.registry.request_song(SONG), timeout_s=5)


# A server that lost its data


def test_marks_of_a_new_server_are_incomplete_until_they_are_restored(registry: SongRegistry) -> None:
    registry.request_song(SONG, visibility=PRIVATE)
    assert not registry.has_private_marks()
    registry.restore_private_marks([OTHER])
    assert registry.has_private_marks()
    assert registry.private_songs([SONG, OTHER, THIRD]) == {SONG, OTHER}


def test_late_restoration_hides_no_public_song(registry: SongRegistry) -> None:
    """Two services may restore at once, and a client may post the bytes between."""
    registry.restore_private_marks([SONG, OTHER])
    registry.request_song(SONG, visibility=PUBLIC)
    registry.restore_private_marks([SONG, OTHER])
    assert registry.private_songs([SONG, OTHER]) == {OTHER}


def test_no_answer_shows_a_private_song_of_an_empty_server(redis_server: RedisServer) -> None:
    registry = RedisSongRegistry(redis_server.address, find_private=lambda: {SONG})
    for _ in range(2):
        assert registry.private_songs([SONG, OTHER]) == {SONG}
        redis_server.client().flushall()
    registry.ensure_private_marks()
    assert registry.begin_removal(SONG)


def test_database_that_is_away_makes_no_private_song_public(redis_server: RedisServer) -> None:
    def find_private() -> set[str]:
        raise DatabaseUnavailable

    registry = RedisSongRegistry(redis_server.address, find_private=find_private)
    with pytest.raises(DatabaseUnavailable):
        registry.private_songs([SONG])
    assert not registry.has_private_marks()


def test_many_marks_are_restored(registry: SongRegistry) -> None:
    songs = [f"{number:064x}" for number in range(2500)]
    registry.restore_private_marks(songs)
    assert registry.private_songs(songs) == set(songs)


def test_full_queue_makes_no_song_private() -> None:
    registry = InMemorySongRegistry()
    registry.full = True
    with pytest.raises(QueueFull):
        registry.request_song(SONG, visibility=PRIVATE)
    assert registry.private_songs([SONG]) == set()
