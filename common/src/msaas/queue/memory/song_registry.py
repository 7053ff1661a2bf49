"""The in-memory song registry."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from msaas.errors import QueueFull, QueueUnavailable
from msaas.queue.song_registry import DELETION_S, PUBLISHED_S, REQUESTED_S, Visibility


class InMemorySongRegistry:
    """Implements `msaas.queue.song_registry.SongRegistry`.

    With `away` set every call raises `QueueUnavailable`. With `full` a request, a deletion and
    the restoration of marks raise `QueueFull`.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self.away = False
        self.full = False
        #: Songs that only accounts sent.
        self.private: set[str] = set()
        #: By song without references: the time at which its removal began.
        self.removal_times: dict[str, float] = {}
        self._clock = clock
        self._has_private_marks = False
        #: By owner with a name: the songs it sent.
        self._sent: defaultdict[str, set[str]] = defaultdict(set)
        #: By song: until when it stays, and until when it is being deleted.
        self._requested: dict[str, float] = {}
        self._deletions: dict[str, float] = {}
        #: By song: until when it is not published again.
        self._published: dict[str, float] = {}

    def request_song(
        self,
        song_hash: str,
        *,
        owner: str = "",
        visibility: Visibility | None = None,
        is_stored: bool = False,
    ) -> bool:
        self._check_writable()
        if self._lasts(self._deletions, song_hash):
            return False
        is_known = is_stored or self._lasts(self._requested, song_hash)
        if visibility is Visibility.PUBLIC:
            self.private.discard(song_hash)
        if visibility is Visibility.PRIVATE and not is_known:
            self.private.add(song_hash)
        self._requested[song_hash] = self._clock() + REQUESTED_S
        if owner:
            self._sent[owner].add(song_hash)
        return True

    def known_songs(self, owner: str, song_hashes: Sequence[str]) -> set[str]:
        self._answer()
        return self._sent[owner].intersection(song_hashes)

    def private_songs(self, song_hashes: Sequence[str]) -> set[str]:
        self._answer()
        return self.private.intersection(song_hashes)

    def has_private_marks(self) -> bool:
        self._answer()
        return self._has_private_marks

    def ensure_private_marks(self) -> None:
        self._answer()

    def restore_private_marks(self, song_hashes: Sequence[str]) -> None:
        self._check_writable()
        if not self._has_private_marks:
            self.private.update(song_hashes)
        self._has_private_marks = True

    def begin_deletion(self, song_hash: str) -> bool:
        self._check_writable()
        return not self._lasts(self._requested, song_hash) and self.announce_deletion(song_hash)

    def begin_removal(self, song_hash: str) -> bool:
        self._answer()
        if song_hash not in self.private:
            self.removal_times.pop(song_hash, None)
            return False
        self.removal_times.setdefault(song_hash, self._clock())
        return self.announce_deletion(song_hash)

    def announce_deletion(self, song_hash: str) -> bool:
        """Let requests for the song wait. Return False while it is being deleted."""
        self._answer()
        if self._lasts(self._deletions, song_hash):
            return False
        self._deletions[song_hash] = self._clock() + DELETION_S
        return True

    def end_deletion(self, song_hash: str) -> None:
        self._answer()
        self._deletions.pop(song_hash, None)

    def removals(self, *, older_than_s: float = 0.0) -> list[str]:
        self._answer()
        latest = self._clock() - older_than_s
        found = sorted((at, song_hash) for song_hash, at in self.removal_times.items() if at <= latest)
        return [song_hash for _, song_hash in found]

    def note_publication(self, song_hash: str) -> None:
        self._check_writable()
        self._published[song_hash] = self._clock() + PUBLISHED_S

    def is_published(self, song_hash: str) -> bool:
        self._answer()
        return self._lasts(self._published, song_hash)

    def forget_publication(self, song_hash: str) -> None:
        self._answer()
        self._published.pop(song_hash, None)

    def forget_removal(self, song_hash: str) -> None:
        self._answer()
        self.removal_times.pop(song_hash, None)

    def _lasts(self, marks: dict[str, float], song_hash: str) -> bool:
        return marks.get(song_hash, 0.0) > self._clock()

    def _answer(self) -> None:
        if self.away:
            raise QueueUnavailable("The in-memory song registry is turned off.")

    def _check_writable(self) -> None:
        self._answer()
        if self.full:
            raise QueueFull("The in-memory song registry is turned full.")
