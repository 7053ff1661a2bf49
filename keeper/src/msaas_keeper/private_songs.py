"""Private songs: the marks that hide them from the machine API, restored after Redis lost its data."""

from collections.abc import Collection
from typing import Protocol

from msaas.logs import get_logger
from msaas.queue.song_registry import SongRegistry

log = get_logger()


class Songs(Protocol):
    """The uploads in the database. Every method raises `Unavailable`."""

    def referenced_songs(self) -> set[str]: ...

    def private_songs(self, song_hashes: Collection[str]) -> set[str]: ...


def restore_private_marks(registry: SongRegistry, songs: Songs) -> None:
    """Mark each song that only accounts sent, unless the marks are complete. Raises `Unavailable`.

    A song that the machine API knew as well is hidden from it until its bytes are posted again: the
    registry was the only place that knew.
    """
    if registry.has_private_marks():
        return
    private = songs.private_songs(songs.referenced_songs())
    registry.restore_private_marks(sorted(private))
    log.info("private_songs_restored", songs=len(private))
