"""`SongQueue` in RabbitMQ."""

from typing import Any

import pika
import pika.exceptions

from msaas.errors import MessageTooLarge, QueueFull, QueueUnavailable
from msaas.queue.rabbitmq.address import BrokerAddress
from msaas.queue.rabbitmq.link import Link, version_of
from msaas.queue.rabbitmq.publishing import PublishingChannel, too_large
from msaas.queue.rabbitmq.topology import Topology, declare
from msaas.queue.songs import SongMessage

#: No call takes longer.
CALL_S = 10.0
_MIB = 1024 * 1024
#: Defaults of `max_message_size`: RabbitMQ 3, and 4.0 or newer.
_LIMIT_3, _LIMIT_4 = 128 * _MIB, 16 * _MIB


class _Publisher:
    """Implements `Session`."""

    def __init__(self, connection: pika.BlockingConnection, topology: Topology) -> None:
        self._connection = connection
        self._topology = topology
        declare(connection, topology)
        self._channel = PublishingChannel(connection)
        self._pings: Any = connection.channel()
        version = version_of(connection)
        #: The limit of a broker with the default settings of its version.
        self.default_limit_bytes = _LIMIT_3 if version and version < (4,) else _LIMIT_4

    def check(self) -> None:
        pass  # A message in flight learns the end of its channel itself.

    def end(self) -> None:
        pass

    def publish(self, message: SongMessage) -> None:
        try:
            self._channel.publish(message, queue=self._topology.queue)
        except QueueUnavailable:
            # The queue may have been deleted. The next message finds it.
            declare(self._connection, self._topology)
            raise

    def ping(self) -> None:
        """Ask the broker for an answer."""
        self._pings.basic_qos(prefetch_count=0)


class RabbitSongQueue:
    """Implements `SongQueue`. The connection is opened at once, in the background, and again when it ended.

    No call takes longer than `call_s`. `max_message_bytes` is the limit of the broker, by default that of its
    version, and a lower one is learned from the first message it refuses.
    """

    def __init__(
        self,
        address: BrokerAddress,
        *,
        topology: Topology = Topology(),
        max_message_bytes: int | None = None,
        call_s: float = CALL_S,
    ) -> None:
        self._max_message_bytes = max_message_bytes
        self._call_s = call_s
        self._link = Link(
            address,
            name="songs",
            on_open=lambda connection: _Publisher(connection, topology),
            blocked_s=call_s,
        )

    def check_size(self, size_bytes: int) -> None:
        limit_bytes = self._max_message_bytes
        if limit_bytes is None:
            limit_bytes = self._link.call(lambda session: session.default_limit_bytes, timeout_s=self._call_s)
        if size_bytes > limit_bytes:
            raise too_large(size_bytes, limit_bytes=limit_bytes)

    def publish(self, song_hash: str, body: bytes, *, extras: tuple[str, ...] = ()) -> None:
        if self._max_message_bytes is not None:
            self.check_size(len(body))
        if self._link.is_blocked:
            raise QueueFull("The broker accepts no messages: its memory or its disk is full.")
        message = SongMessage(message_id=song_hash, body=body, extras=extras)
        try:
            self._link.call(lambda session: session.publish(message), timeout_s=self._call_s)
        except MessageTooLarge as error:
            self._max_message_bytes = error.limit_bytes
            raise

    def ping(self) -> None:
        self._link.call(lambda session: session.ping(), timeout_s=self._call_s)

    def close(self) -> None:
        self._link.close()
