"""Songs that the store has: a client sends their hash in place of their bytes."""

from msaas.queue.song_registry import SongRegistry
from msaas.storage.protocol import StoredObject
from msaas.storage.song_store import SongStore
from msaas.storage.source_songs import song_missing
from msaas_rest.api.visibility import visible_jobs
from msaas_rest.http.caller import Caller


def check_song_visible(song_hash: str, *, caller: Caller, registry: SongRegistry) -> None:
    """Raises `SongMissing` for a song that this caller did not send: its hash alone gives no access to it."""
    if not visible_jobs([song_hash], caller=caller, registry=registry):
        raise song_missing(song_hash)


def find_known_song(
    song_hash: str, *, caller: Caller, registry: SongRegistry, songs: SongStore
) -> StoredObject:
    """Return the object of the song. Retention spares it for the request that follows.

    Raises:
        SongMissing: the store has no such song that the caller may see, or retention deletes it.
    """
    check_song_visible(song_hash, caller=caller, registry=registry)
    songs.find_song(song_hash)
    if not registry.request_song(song_hash):
        raise song_missing(song_hash)
    # Until the line before, retention may have deleted it.
    return songs.find_song(song_hash)
