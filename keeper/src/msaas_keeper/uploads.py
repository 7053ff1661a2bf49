"""Anonymous uploads that a killed process left behind, or that are older than `RETENTION_HOURS`.

No user may delete them. Those of users stay, and their users delete them.
"""

import time
from collections.abc import Collection, Sequence
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
#: Uploads that are read and removed in one step.
_BATCH = 500

log = get_logger()


class Songs(Protocol):
    """The uploads in the database. Every method raises `Unavailable`."""

    def list_anonymous(
        self, *, since: float, until: float, after_id: int = 0, limit: int | None = None
    ) -> "Sequence[Song]":
        """Return the anonymous uploads that were added in this time, the oldest first."""

    def remove(self, song_id: int) -> None: ...

    def remove_anonymous(self, song_ids: Collection[int]) -> int:
        """Remove anonymous uploads. Return the number of those that were there."""


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


def remove_old_uploads(songs: Songs, *, queue: JobQueue, age_s: float, batch: int = _BATCH) -> None:
    """Remove the anonymous uploads of so long ago. Their songs are then left to retention.

    The upload of an open job stays. One that is younger than `GRACE_S` stays as well, however short `age_s`
    is: its song may be on its way to the store. An upload of the same song adds another row, which has an age
    of its own and spares the song.

    Raises `Unavailable`.
    """
    until, last_id, removed = time.time() - max(age_s, GRACE_S), 0, 0
    while found := songs.list_anonymous(since=0, until=until, after_id=last_id, limit=batch):
        # After the listing: the job of each of these uploads was announced long ago.
        spared = queue.referenced_songs()
        removed += songs.remove_anonymous([song.id for song in found if song.song_hash not in spared])
        last_id = found[-1].id
    if removed:
        log.info("old_uploads_removed", uploads=removed)
