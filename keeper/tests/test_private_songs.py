"""Marks of private songs are restored after Redis lost its data, and removals are repeated."""

import io
import threading

import pytest

from msaas.queue.redis.song_registry import RedisSongRegistry
from msaas.queue.song_registry import Visibility
from msaas.recipe import Recipe
from msaas.storage.memory import InMemoryStore
from msaas.storage.song_store import SongStore
from msaas_catalogue import Catalogue
from msaas_keeper.__main__ import bootstrap
from msaas_keeper.settings import KeeperSettings
from tests.servers import RedisServer, wait_until

ANN, SHARED, OTHER = (digit * 64 for digit in "abc")


@pytest.fixture
def catalogue(catalogue: Catalogue) -> Catalogue:
    """Add a song of a user, and one that is anonymous as well."""
    login = catalogue.accounts.register("ann", password="correct horse", repeated="correct horse")
    for song, user_id in ((ANN, login.user.id), (SHARED, login.user.id), (SHARED, None)):
        catalogue.songs.add("A song", song_hash=song, recipe=Recipe(), user_id=user_id)
    return catalogue


def test_keeper_hides_private_songs_after_a_flush(
    catalogue: Catalogue, redis_server: RedisServer, stopping: threading.Event
) -> None:
    # This one restores nothing.
    registry = RedisSongRegistry(redis_server.address)
    settings = KeeperSettings(redis_host=redis_server.address.host, redis_port=redis_server.address.port)
    bootstrap(settings, stopping, song_store=SongStore(InMemoryStore()), catalogue=catalogue)
    for _ in range(2):
        wait_until(registry.has_private_marks)
        assert registry.private_songs([ANN, SHARED]) == {ANN}
        redis_server.client().flushall()
    wait_until(registry.has_private_marks)


def test_keeper_repeats_removals(
    catalogue: Catalogue, redis_server: RedisServer, stopping: threading.Event
) -> None:
    registry, song_store = RedisSongRegistry(redis_server.address), SongStore(InMemoryStore())
    song_store.prepare()
    song_store.put_song(OTHER, io.BytesIO(b"song"), size_bytes=4)
    registry.request_song(OTHER, visibility=Visibility.PRIVATE)
    registry.begin_removal(OTHER)
    registry.end_deletion(OTHER)
    redis_server.client().zincrby("toWorkers:removals", -61, OTHER)
    settings = KeeperSettings(redis_host=redis_server.address.host, redis_port=redis_server.address.port)
    bootstrap(settings, stopping, registry=registry, song_store=song_store, catalogue=catalogue)
    wait_until(lambda: not song_store.knows(OTHER))
    wait_until(lambda: registry.removals() == [])
