"""Protocol of the song registry: requests, visibility and deletions of songs.

A request for a song and a deletion of it exclude each other.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

#: Retention spares a song, and its results, this long after a client asked for it.
REQUESTED_S = 600
#: Nothing asks for a song while it is deleted, for this long at most. The deletion ends in half of it.
DELETION_S = 60


class Visibility(StrEnum):
    """Which clients of the machine API may see a song: all of them, or none because only accounts sent it."""

    PUBLIC = "public"
    PRIVATE = "private"


#: A song that was published to a broker is not published again for so long, unless its result is refused.
PUBLISHED_S = 600


class SongRegistry(Protocol):
    """Every method raises `QueueUnavailable`."""

    def request_song(
        self,
        song_hash: str,
        *,
        owner: str = "",
        visibility: Visibility | None = None,
        is_stored: bool = False,
    ) -> bool:
        """Record that a client asks for the song: retention spares it for `REQUESTED_S`.

        An owner with a name knows the song from now on. With `PUBLIC` the song is not private any more. With
        `PRIVATE` it becomes private unless another client knows it: it `is_stored` and was not private, or it
        was requested a moment ago and was not private.

        Return False, and record nothing, while it is being deleted. Raises `QueueFull`.
        """

    def known_songs(self, owner: str, song_hashes: Sequence[str]) -> set[str]:
        """Return those of the songs that this owner asked for."""

    def private_songs(self, song_hashes: Sequence[str]) -> set[str]:
        """Return those of the songs that are private. A private song that was deleted remains one.

        Raises `Unavailable` where the marks have to be restored first, and cannot.
        """

    def has_private_marks(self) -> bool:
        """Return whether all private songs are known: the server has kept them since they were restored."""

    def ensure_private_marks(self) -> None:
        """Restore the marks if the server has lost its data, and this registry can. Raises `Unavailable`."""

    def restore_private_marks(self, song_hashes: Sequence[str]) -> None:
        """Make these songs private, of a server that has lost its data. Raises `QueueFull`."""

    def begin_deletion(self, song_hash: str) -> bool:
        """Let `request_song` wait while the song or a result of it is deleted, for `DELETION_S` at most.

        Return False if it must stay: a client asked for it, or another keeper deletes it. Raises `QueueFull`.
        """

    def begin_removal(self, song_hash: str) -> bool:
        """Let `request_song` wait while a private song is removed, for `DELETION_S` at most.

        Unlike in `begin_deletion`, a client may have asked for the song a moment ago. The song stands among
        `removals` from now on. `end_deletion` ends it.

        Return False for a song that is not private, and for one that is being deleted.
        """

    def end_deletion(self, song_hash: str) -> None:
        """End the deletion or the removal that this process began."""

    def removals(self, *, older_than_s: float = 0.0) -> list[str]:
        """Return the songs whose removal began so long ago, the oldest first."""

    def note_publication(self, song_hash: str) -> None:
        """Record that the broker has the song, for `PUBLISHED_S`. Raises `QueueFull`."""

    def is_published(self, song_hash: str) -> bool:
        """Return whether the broker got the song a while ago."""

    def forget_publication(self, song_hash: str) -> None:
        """Let the next upload publish the song again."""

    def forget_removal(self, song_hash: str) -> None:
        """Take a song out of `removals`: nothing of it is left, or it was sent again."""
