"""Anonymous uploads that a killed process left behind: their row is there, and their song never came.

No user may delete them. Those of users stay, and their users delete them.
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from msaas.logs import get_logger
from msaas.queue.protocol import JobQueue
from msaas.storage.song_store import SongStore

if TYPE_CHECKING:
    from msaas_catalogue import Song

#: The row of an upload is added once its body is received. Its song is stored within this time.
GRACE_S = 3600.0
#: Older ones were looked at before: a keeper may be away for a day.
_SPAN_S = 24 * 3600.0

log = get_logger()


class Songs(Protocol):
    """The uploads in the database. Every method raises `Unavailable`."""

    def list_anonymous(self, *, since: float, until: float) -> "Sequence[Song]":
        """Return the anonymous uploads that were added in this time."""

    def remove(self, song_id: int) -> None: ...


def remove_interrupted_uploads(songs: Songs, *, queue: JobQueue, song_store: SongStore) -> None:
    """Remove the uploads without a song, a job and a result. Raises `Unavailable`."""
    if next(song_store.songs(), None) is None:
        # The store is new, or the wrong one.
        return
    until = time.time() - GRACE_S
    for song in songs.list_anonymous(since=until - _SPAN_S, until=until):
        if queue.status(song.job_id) is None and not song_store.knows(song.song_hash):
            songs.remove(song.id)
            log.info("upload_removed", song_id=song.id, song_hash=song.song_hash)
