"""Deletion of songs and accounts. What nothing else refers to goes from the store and the queue as well."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msaas.errors import JobEnded, JobNotFound, NotYourRequest, Unavailable
from msaas.logs import get_logger
from msaas.queue.protocol import Cancellation, JobQueue
from msaas.queue.song_registry import SongRegistry
from msaas.removal import Removal
from msaas_rest.songs.ids import request_id_of
from msaas_rest.songs.visitor import Visitor, owner_of

if TYPE_CHECKING:
    from msaas_catalogue import Catalogue, RemovedSong

log = get_logger()


@dataclass(frozen=True, kw_only=True)
class Deletions:
    """`catalogue` opens the database."""

    catalogue: Callable[[], "Catalogue"]
    queue: JobQueue
    registry: SongRegistry
    removal: Callable[[], Removal]

    def delete_song(self, song_id: int, *, visitor: Visitor) -> None:
        """Delete a song with its references.

        Without the queue nothing is deleted: a removal could not be recorded for the keeper. After a loss of
        its data the mark of the song is restored while its row is there.

        Raises:
            SongNotFound: the caller did not upload the song with a login.
            QueueUnavailable: the queue does not answer.
        """
        self.registry.ensure_private_marks()
        removed = self.catalogue().songs.delete(song_id, user_id=visitor.user_id)
        self._release(removed)
        log.info("song_deleted", song_id=song_id, references=removed.left.to_song)

    def delete_account(self, user_id: int, *, password: str) -> int:
        """Delete an account with its songs. Return their number.

        Raises:
            InvalidFields: for `password`.
            QueueUnavailable: the queue does not answer.
        """
        self.registry.ensure_private_marks()
        songs = self.catalogue().accounts.delete(user_id, password=password)
        for removed in songs:
            self._release(removed)
        return len(songs)

    def _release(self, removed: "RemovedSong") -> None:
        """Cancel the request of an upload, and remove a song without references.

        The row is gone: an outage now leaves the rest to the keeper.
        """
        song = removed.song
        try:
            self._cancel(removed)
            if not removed.left.to_song:
                self.removal().remove(song.song_hash, job_ids=[song.job_id])
        except Unavailable as error:
            log.warning("song_removal_postponed", song_hash=song.song_hash, reason=str(error))

    def _cancel(self, removed: "RemovedSong") -> None:
        song = removed.song
        if song.uploader_id is None:
            return
        which = Cancellation(owner=owner_of(song.uploader_id), request_id=request_id_of(song.id))
        with suppress(JobNotFound, JobEnded, NotYourRequest):
            self.queue.cancel(song.job_id, which)
