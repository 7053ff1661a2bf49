"""The in-memory twin of the queue of songs. Tests can turn it off, and lose a delivery as a broker does."""

import threading
from collections import deque
from dataclasses import dataclass, field, replace

from msaas.errors import LeaseLost, MessageTooLarge, QueueUnavailable
from msaas.queue.songs import Delivery, SongMessage


@dataclass(kw_only=True)
class DeadSong:
    message: SongMessage
    reason: str


@dataclass(kw_only=True)
class InMemorySongQueue:
    """Implements `SongQueue`."""

    max_message_bytes: int = 128 * 1024 * 1024
    hold_every_s: float = 600.0
    #: Turns the queue off.
    away: bool = False
    dead: list[DeadSong] = field(default_factory=list)
    _waiting: deque["_Entry"] = field(default_factory=deque)
    _taken: list["InMemoryDelivery"] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def check_size(self, size_bytes: int) -> None:
        self.ping()
        if size_bytes > self.max_message_bytes:
            raise MessageTooLarge(
                f"The song has {size_bytes} bytes. A message may have {self.max_message_bytes}."
            )

    def publish(self, song_hash: str, body: bytes, *, extras: tuple[str, ...] = ()) -> None:
        self.check_size(len(body))
        self.put(SongMessage(message_id=song_hash, body=body, extras=extras))

    def ping(self) -> None:
        if self.away:
            raise QueueUnavailable("The queue is off.")

    def close(self) -> None:
        pass

    def consumer(self) -> "InMemorySongConsumer":
        return InMemorySongConsumer(self)

    def waiting(self) -> list[SongMessage]:
        return [entry.message for entry in self._waiting]

    def put(self, message: SongMessage) -> None:
        """Add a message of any kind."""
        with self._changed:
            self._waiting.append(_Entry(message))
            self._changed.notify_all()

    def lose_deliveries(self) -> None:
        """Take every delivery back, as a broker does whose connection to the worker ends."""
        with self._changed:
            for delivery in self._taken:
                delivery.is_lost = True
                # What is held is a new message: only its count of attempts tells that it was delivered.
                self._waiting.appendleft(_Entry(delivery.message, is_redelivered=not delivery.is_held))
            self._taken.clear()
            self._changed.notify_all()

    def take(self, *, timeout_s: float) -> Delivery | None:
        self.ping()
        with self._changed:
            self._changed.wait_for(lambda: self._waiting, timeout=timeout_s)
            if not self._waiting:
                return None
            entry = self._waiting.popleft()
            delivery = InMemoryDelivery(self, entry.message, is_redelivered=entry.is_redelivered)
            self._taken.append(delivery)
            return delivery

    def settle(self, delivery: "InMemoryDelivery") -> None:
        with self._changed:
            self._taken.remove(delivery)


@dataclass(frozen=True)
class _Entry:
    message: SongMessage
    is_redelivered: bool = False


@dataclass(frozen=True)
class InMemorySongConsumer:
    """Implements `SongConsumer`."""

    queue: InMemorySongQueue

    def take(self, *, timeout_s: float) -> Delivery | None:
        return self.queue.take(timeout_s=timeout_s)

    def close(self) -> None:
        self.queue.lose_deliveries()


class InMemoryDelivery:
    """Implements `Delivery`."""

    def __init__(self, queue: InMemorySongQueue, message: SongMessage, *, is_redelivered: bool) -> None:
        self._queue = queue
        self.message = message
        self.is_redelivered = is_redelivered
        self.attempt = message.attempts + is_redelivered + 1
        self.is_lost = False
        #: Whether the message counts this attempt already.
        self.is_held = False

    @property
    def hold_every_s(self) -> float:
        return self._queue.hold_every_s

    def verify(self) -> None:
        self._queue.ping()
        if self.is_lost:
            raise LeaseLost("The song was delivered again.")

    def hold(self) -> None:
        self.verify()
        self.message = replace(self.message, attempts=self.attempt)
        self.is_held = True

    def complete(self) -> None:
        self._settle()

    def release(self) -> None:
        self._settle()
        releases = self.message.releases + 1
        self._queue.put(replace(self.message, attempts=self.attempt - 1, releases=releases))

    def retry(self) -> None:
        self._settle()
        self._queue.put(replace(self.message, attempts=self.attempt))

    def dead_letter(self, reason: str) -> None:
        self._settle()
        message = replace(self.message, attempts=0, releases=0)
        self._queue.dead.append(DeadSong(message=message, reason=reason))

    def _settle(self) -> None:
        self.verify()
        self._queue.settle(self)
        self.is_lost = True
