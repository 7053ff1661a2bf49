"""The song registry on Redis."""

import json
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any

from msaas.errors import Unavailable
from msaas.logs import get_logger
from msaas.queue.redis.clients import Connect, RedisAddress, connect, our_errors
from msaas.queue.redis.fields import text
from msaas.queue.redis.keys import Keys
from msaas.queue.redis.scripts import Scripts
from msaas.queue.song_registry import DELETION_S, PUBLISHED_S, REQUESTED_S, Visibility

log = get_logger()

#: Stands in the set of private songs when it is complete. A server that lost its data has lost it as well.
_ALL_PRIVATE_SONGS = "complete"
#: A reply of the step `request_song`.
_INCOMPLETE = 2
#: Songs in a step.
_BATCH = 1000


class RedisSongRegistry:
    """Implements `msaas.queue.song_registry.SongRegistry`.

    With `find_private`, which reads all private songs from the database, no private song is shown after the
    server has lost its data: the marks are restored before the first answer.
    """

    def __init__(
        self,
        address: RedisAddress,
        *,
        keys: Keys = Keys(),
        connect: Connect = connect,
        find_private: Callable[[], Collection[str]] | None = None,
    ) -> None:
        self._keys = keys
        self._find_private = find_private
        self._restoring = threading.Lock()
        self._redis = connect(address)
        self._scripts = Scripts(self._redis)

    def request_song(
        self,
        song_hash: str,
        *,
        owner: str = "",
        visibility: Visibility | None = None,
        is_stored: bool = False,
    ) -> bool:
        args = {
            "ttl": REQUESTED_S,
            "song_hash": song_hash,
            "owner": owner,
            "visibility": visibility.value if visibility else "",
            "is_stored": int(is_stored),
        }
        requested = self._request(args, complete=_ALL_PRIVATE_SONGS if self._find_private else "")
        if requested == _INCOMPLETE:
            # The bytes are known to this client. Without the database the song only may be hidden later.
            with suppress(Unavailable):
                self.ensure_private_marks()
            requested = self._request(args, complete="")
        return bool(requested)

    def _request(self, args: dict[str, Any], *, complete: str) -> int:
        keys = self._keys
        with our_errors():
            found = self._scripts.call(
                "request_song",
                keys={
                    "requested": keys.requested(args["song_hash"]),
                    "deletion": keys.deletion(args["song_hash"]),
                    "owner_songs": keys.sent(args["owner"]),
                    "private_songs": keys.private_songs,
                },
                args={**args, "complete": complete},
            )
        return int(found)

    def known_songs(self, owner: str, song_hashes: Sequence[str]) -> set[str]:
        if not song_hashes:
            return set()
        with our_errors():
            times = self._redis.zmscore(self._keys.sent(owner), song_hashes)
        return {song for song, at in zip(song_hashes, times, strict=True) if at is not None}

    def private_songs(self, song_hashes: Sequence[str]) -> set[str]:
        if not song_hashes:
            return set()
        marked = self._marked([*song_hashes, _ALL_PRIVATE_SONGS])
        if self._find_private and _ALL_PRIVATE_SONGS not in marked:
            self.ensure_private_marks()
            marked = self._marked(song_hashes)
        return marked - {_ALL_PRIVATE_SONGS}

    def _marked(self, members: Sequence[str]) -> set[str]:
        with our_errors():
            found = self._redis.smismember(self._keys.private_songs, list(members))
        return {member for member, is_marked in zip(members, found, strict=True) if is_marked}

    def has_private_marks(self) -> bool:
        return bool(self._marked([_ALL_PRIVATE_SONGS]))

    def ensure_private_marks(self) -> None:
        with self._restoring:
            if not self.has_private_marks() and self._find_private:
                songs = self._find_private()
                self.restore_private_marks(sorted(songs))
                log.info("private_songs_restored", songs=len(songs))

    def restore_private_marks(self, song_hashes: Sequence[str]) -> None:
        # The mark of a complete set comes last.
        songs = [*song_hashes, _ALL_PRIVATE_SONGS]
        with our_errors():
            for start in range(0, len(songs), _BATCH):
                self._scripts.call(
                    "restore_private_marks",
                    keys={"private_songs": self._keys.private_songs},
                    args={"songs": json.dumps(songs[start : start + _BATCH]), "complete": _ALL_PRIVATE_SONGS},
                )

    def begin_deletion(self, song_hash: str) -> bool:
        keys = self._keys
        with our_errors():
            begun = self._scripts.call(
                "begin_deletion",
                keys={"requested": keys.requested(song_hash), "deletion": keys.deletion(song_hash)},
                args={"ttl": DELETION_S},
            )
        return bool(begun)

    def begin_removal(self, song_hash: str) -> bool:
        keys = self._keys
        with our_errors():
            begun = self._scripts.call(
                "begin_removal",
                keys={
                    "private_songs": keys.private_songs,
                    "removals": keys.removals,
                    "deletion": keys.deletion(song_hash),
                },
                args={"song_hash": song_hash, "ttl": DELETION_S},
            )
        return bool(begun)

    def end_deletion(self, song_hash: str) -> None:
        with our_errors():
            self._redis.delete(self._keys.deletion(song_hash))

    def removals(self, *, older_than_s: float = 0.0) -> list[str]:
        with our_errors():
            found = self._scripts.call(
                "removals", keys={"removals": self._keys.removals}, args={"age": older_than_s}
            )
        return [text(song_hash) for song_hash in found]

    def note_publication(self, song_hash: str) -> None:
        with our_errors():
            self._redis.set(self._keys.published(song_hash), "", ex=PUBLISHED_S)

    def is_published(self, song_hash: str) -> bool:
        with our_errors():
            return bool(self._redis.exists(self._keys.published(song_hash)))

    def forget_publication(self, song_hash: str) -> None:
        with our_errors():
            self._redis.delete(self._keys.published(song_hash))

    def forget_removal(self, song_hash: str) -> None:
        with our_errors():
            self._redis.zrem(self._keys.removals, song_hash)
