"""Private songs: which clients make a song private, and which make it known to the machine API."""

import pytest

from common.tests.backends import QueueBench
from common.tests.steps import OTHER, SONG, THIRD
from msaas.errors import QueueFull
from msaas.queue.memory import InMemoryQueue
from msaas.queue.protocol import DELETION_S, REQUESTED_S, JobQueue, Visibility
from tests.servers import wait_until

PUBLIC, PRIVATE = Visibility.PUBLIC, Visibility.PRIVATE


def is_private(queue: JobQueue, song: str = SONG) -> bool:
    return queue.private_songs([song]) == {song}


def test_song_of_an_account_is_private(queue: JobQueue) -> None:
    assert queue.private_songs([]) == set()
    assert queue.request_song(SONG, visibility=PRIVATE)
    assert queue.private_songs([SONG, OTHER]) == {SONG}


def test_song_without_visibility_stays_as_it_is(queue: JobQueue) -> None:
    queue.request_song(SONG)
    assert not is_private(queue)
    queue.request_song(OTHER, visibility=PRIVATE)
    queue.request_song(OTHER)
    assert is_private(queue, OTHER)


def test_public_request_ends_privacy_for_good(queue: JobQueue) -> None:
    queue.request_song(SONG, visibility=PRIVATE)
    queue.request_song(SONG, visibility=PUBLIC)
    assert not is_private(queue)
    queue.request_song(SONG, visibility=PRIVATE)
    assert not is_private(queue)


def test_song_in_the_store_that_is_not_private_stays_known(queue: JobQueue) -> None:
    queue.request_song(SONG, visibility=PRIVATE, is_stored=True)
    assert not is_private(queue)


def test_stored_private_song_stays_private(queue: JobQueue) -> None:
    for is_stored in (False, True):
        queue.request_song(SONG, visibility=PRIVATE, is_stored=is_stored)
    assert is_private(queue)


def test_public_song_that_was_forgotten_becomes_private(bench: QueueBench) -> None:
    bench.queue.request_song(SONG, visibility=PUBLIC)
    bench.pass_time(REQUESTED_S + 5)
    wait_until(lambda: bench.queue.begin_deletion(SONG), timeout_s=5)
    bench.queue.end_deletion(SONG)
    bench.queue.request_song(SONG, visibility=PRIVATE)
    assert is_private(bench.queue)


def test_refused_request_changes_no_visibility(queue: JobQueue) -> None:
    queue.begin_deletion(SONG)
    assert not queue.request_song(SONG, visibility=PRIVATE)
    assert not is_private(queue)
    queue.request_song(OTHER, visibility=PRIVATE)
    assert queue.begin_removal(OTHER)
    assert not queue.request_song(OTHER, visibility=PUBLIC)
    assert is_private(queue, OTHER)


# Removal


def test_removal_of_a_private_song_begins_at_once(queue: JobQueue) -> None:
    queue.request_song(SONG, visibility=PRIVATE)
    assert not queue.begin_deletion(SONG)
    assert queue.begin_removal(SONG)
    assert not queue.request_song(SONG, visibility=PRIVATE)
    queue.end_deletion(SONG)
    assert queue.request_song(SONG, visibility=PRIVATE)


@pytest.mark.parametrize("visibility", [PUBLIC, None])
def test_song_that_is_not_private_is_not_removed(queue: JobQueue, visibility: Visibility | None) -> None:
    queue.request_song(SONG, visibility=visibility)
    assert not queue.begin_removal(SONG)
    assert queue.removals() == []
    assert queue.request_song(SONG)


def test_two_processes_do_not_remove_a_song_at_once(queue: JobQueue) -> None:
    queue.request_song(SONG, visibility=PRIVATE)
    assert queue.begin_removal(SONG)
    assert not queue.begin_removal(SONG)


def test_removals_are_listed_until_they_are_forgotten(bench: QueueBench) -> None:
    queue = bench.queue
    for song in (SONG, OTHER, THIRD):
        queue.request_song(song, visibility=PRIVATE)
        queue.begin_removal(song)
        queue.end_deletion(song)
    # A repeated removal keeps its place.
    queue.begin_removal(SONG)
    queue.end_deletion(SONG)
    assert queue.removals() == [SONG, OTHER, THIRD]
    assert queue.removals(older_than_s=60) == []
    queue.forget_removal(OTHER)
    queue.request_song(THIRD, visibility=PUBLIC)
    assert not queue.begin_removal(THIRD)
    assert queue.removals() == [SONG]
    bench.pass_time(61)
    assert queue.removals(older_than_s=60) == [SONG]


def test_removal_that_never_ends_expires(bench: QueueBench) -> None:
    bench.queue.request_song(SONG, visibility=PRIVATE)
    bench.queue.begin_removal(SONG)
    bench.pass_time(DELETION_S - 5)
    assert not bench.queue.request_song(SONG)
    bench.pass_time(10)
    wait_until(lambda: bench.queue.request_song(SONG), timeout_s=5)


# A server that lost its data


def test_marks_of_a_new_server_are_incomplete_until_they_are_restored(queue: JobQueue) -> None:
    queue.request_song(SONG, visibility=PRIVATE)
    assert not queue.has_private_marks()
    queue.restore_private_marks([OTHER])
    assert queue.has_private_marks()
    assert queue.private_songs([SONG, OTHER, THIRD]) == {SONG, OTHER}


def test_many_marks_are_restored(queue: JobQueue) -> None:
    songs = [f"{number:064x}" for number in range(2500)]
    queue.restore_private_marks(songs)
    assert queue.private_songs(songs) == set(songs)


def test_full_queue_makes_no_song_private() -> None:
    queue = InMemoryQueue()
    queue.full = True
    with pytest.raises(QueueFull):
        queue.request_song(SONG, visibility=PRIVATE)
    assert queue.private_songs([SONG]) == set()
