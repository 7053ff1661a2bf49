"""Protocols of the queue of whole songs, from which workers without a store take their work.

A message holds the bytes of a song, and its id is their hash. Nothing else is shared: no status, no lease, no
store. A delivery that is not settled comes again.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class SongMessage:
    """A song in the queue. `message_id` is the hash of `body`, as its publisher says.

    `attempts` were begun and not completed before, as far as the message knows. Workers that stopped gave the
    song back `releases` times, which counts as no attempt. `extras` are the names of further files that the
    backend takes beside the stems. They may be unknown.
    """

    message_id: str
    body: bytes
    attempts: int = 0
    releases: int = 0
    extras: tuple[str, ...] = ()


class SongQueue(Protocol):
    """Publishes songs. Thread-safe."""

    def check_size(self, size_bytes: int) -> None:
        """Raise `MessageTooLarge` for such a song, `QueueUnavailable` if the limit is not known."""

    def publish(self, song_hash: str, body: bytes, *, extras: tuple[str, ...] = ()) -> None:
        """Return once the queue has stored the song. A song that is published twice is separated twice.

        `extras` are the names of further files of the result that the publisher takes.

        Raises:
            MessageTooLarge: the broker accepts no message of this size.
            QueueFull: the broker accepts no messages at present.
            QueueUnavailable: it is not certain that the song was stored.
        """

    def ping(self) -> None:
        """Raise `QueueUnavailable` if the broker does not answer."""

    def close(self) -> None: ...


class Delivery(Protocol):
    """A song that this worker has until it settles it. Thread-safe.

    Every call but `is_lost` raises `LeaseLost` if the song was delivered to another worker or waits again,
    and `QueueUnavailable` if the broker did not answer in time.
    """

    @property
    def message(self) -> SongMessage: ...

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1. A delivery that comes again counts the one that was lost."""

    @property
    def is_redelivered(self) -> bool:
        """Whether the song was delivered before, which `message` does not know."""

    @property
    def hold_every_s(self) -> float:
        """Interval of `hold` that keeps a song of any length."""

    @property
    def is_lost(self) -> bool:
        """Whether it is known that another worker may have the song. Sends nothing."""

    def verify(self) -> None:
        """Return once it is certain that the song is still this worker's."""

    def hold(self) -> None:
        """Replace the message by a copy that counts this attempt, and keep the copy.

        A broker takes a message back that is not settled within its time. The copy begins anew.
        """

    def complete(self) -> None:
        """The song is done. It leaves the queue."""

    def release(self) -> None:
        """Give the song back. The attempt does not count."""

    def retry(self) -> None:
        """Give the song back. The attempt counts."""

    def dead_letter(self, reason: str) -> None:
        """Move the song to the dead-letter queue, with its reason.

        Its attempts are forgotten, so that a song that an operator moves back begins anew.
        """


class SongConsumer(Protocol):
    """Takes songs, one at a time. For one thread, except for its deliveries."""

    def take(self, *, timeout_s: float) -> Delivery | None:
        """Return the next song, None if there is none within the time. Raises `QueueUnavailable`."""

    def close(self) -> None:
        """End the connection. A song that is not settled waits again."""
