"""The song registry on Redis."""

import json
from collections.abc import Sequence

from msaas.queue.redis.clients import Connect, RedisAddress, connect, our_errors
from msaas.queue.redis.fields import text
from msaas.queue.redis.keys import Keys
from msaas.queue.redis.scripts import Scripts
from msaas.queue.song_registry import DELETION_S, PUBLISHED_S, REQUESTED_S, Visibility

#: Stands in the set of private songs when it is complete. A server that lost its data has lost it as well.
_ALL_PRIVATE_SONGS = "complete"
#: Songs in a step.
_BATCH = 1000


class RedisSongRegistry:
    """Implements `msaas.queue.song_registry.SongRegistry`."""

    def __init__(self, address: RedisAddress, *, keys: Keys = Keys(), connect: Connect = connect) -> None:
        self._keys = keys
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
        keys = self._keys
        with our_errors():
            requested = self._scripts.call(
                "request_song",
                keys={
                    "requested": keys.requested(song_hash),
                    "deletion": keys.deletion(song_hash),
                    "owner_songs": keys.sent(owner),
                    "private_songs": keys.private_songs,
                },
                args={
                    "ttl": REQUESTED_S,
                    "song_hash": song_hash,
                    "owner": owner,
                    "visibility": visibility.value if visibility else "",
                    "is_stored": int(is_stored),
                },
            )
        return bool(requested)

    def known_songs(self, owner: str, song_hashes: Sequence[str]) -> set[str]:
        if not song_hashes:
            return set()
        with our_errors():
            times = self._redis.zmscore(self._keys.sent(owner), song_hashes)
        return {song for song, at in zip(song_hashes, times, strict=True) if at is not None}

    def private_songs(self, song_hashes: Sequence[str]) -> set[str]:
        if not song_hashes:
            return set()
        with our_errors():
            found = self._redis.smismember(self._keys.private_songs, list(song_hashes))
        return {song for song, is_private in zip(song_hashes, found, strict=True) if is_private}

    def has_private_marks(self) -> bool:
        return bool(self.private_songs([_ALL_PRIVATE_SONGS]))

    def restore_private_marks(self, song_hashes: Sequence[str]) -> None:
        # The mark of a complete set comes last.
        songs = [*song_hashes, _ALL_PRIVATE_SONGS]
        with our_errors():
            for start in range(0, len(songs), _BATCH):
                self._scripts.call(
                    "restore_private_marks",
                    keys={"private_songs": self._keys.private_songs},
                    args={"songs": json.dumps(songs[start : start + _BATCH])},
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
