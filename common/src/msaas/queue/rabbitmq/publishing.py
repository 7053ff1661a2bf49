"""Publishing with confirms, and the form of a song as a message of AMQP."""

import re
from typing import Any

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel

from msaas.errors import MessageTooLarge, QueueFull, QueueUnavailable
from msaas.queue.rabbitmq.link import explain
from msaas.queue.songs import SongMessage

#: Headers of our own. The first message of a song has none but `EXTRAS`: names with commas between.
ATTEMPTS, RELEASES, REASON, EXTRAS = "msaas-attempts", "msaas-releases", "msaas-reason", "msaas-extras"
_MAX_REASON_CHARACTERS = 500
#: A longer header is not one of ours.
_MAX_EXTRAS_CHARACTERS = 500
_SIZE_LIMIT = re.compile(r"message size \d+ .*larger than .*max size (\d+)")


class PublishingChannel:
    """A channel in confirm mode. The broker closes it on an error, and the next message opens another one.

    It is apart from the channel of deliveries, which would be lost with it.
    """

    def __init__(self, connection: pika.BlockingConnection) -> None:
        self._connection = connection
        self._channel: BlockingChannel | None = None

    def publish(self, message: SongMessage, *, queue: str, exchange: str = "", reason: str = "") -> None:
        """Return once the broker has stored the message in `queue`, or in the queues of `exchange`.

        Raises:
            MessageTooLarge, QueueFull: the broker refuses the message.
            QueueUnavailable: the queue does not exist, or the broker closed the channel.
            AMQPError: the connection ended.
        """
        try:
            self._open_channel().basic_publish(
                exchange, queue, message.body, properties=_properties(message, reason), mandatory=True
            )
        except pika.exceptions.UnroutableError:
            raise QueueUnavailable(f"Queue {queue!r} does not exist in the broker.") from None
        except pika.exceptions.NackError:
            raise QueueFull(f"The broker refuses messages for queue {queue!r}: it is full.") from None
        except pika.exceptions.ChannelClosedByBroker as error:
            if limit := _SIZE_LIMIT.search(error.reply_text):
                raise too_large(len(message.body), limit_bytes=int(limit[1])) from None
            raise QueueUnavailable(f"The broker closed the channel: {explain(error)}") from None

    def _open_channel(self) -> BlockingChannel:
        if self._channel is None or not self._channel.is_open:
            self._channel = self._connection.channel()
            self._channel.confirm_delivery()
        return self._channel


def too_large(size_bytes: int, *, limit_bytes: int) -> MessageTooLarge:
    error = MessageTooLarge(
        f"The song has {size_bytes} bytes. A message of the broker may have {limit_bytes}. "
        "Send a smaller file, for example an MP3."
    )
    error.limit_bytes = limit_bytes
    return error


def _properties(message: SongMessage, reason: str) -> pika.BasicProperties:
    headers: dict[str, Any] = {}
    if message.attempts:
        headers[ATTEMPTS] = message.attempts
    if message.releases:
        headers[RELEASES] = message.releases
    if message.extras:
        headers[EXTRAS] = ",".join(message.extras)
    if reason:
        headers[REASON] = reason[:_MAX_REASON_CHARACTERS]
    return pika.BasicProperties(
        content_type="application/octet-stream",
        delivery_mode=pika.DeliveryMode.Persistent.value,
        message_id=message.message_id,
        headers=headers or None,
    )


def read_message(properties: pika.BasicProperties, body: bytes) -> SongMessage:
    """Read a message. Its id and its headers may be anything."""
    headers = properties.headers or {}
    return SongMessage(
        message_id=str(properties.message_id or ""),
        body=body,
        attempts=_count(headers.get(ATTEMPTS)),
        releases=_count(headers.get(RELEASES)),
        extras=_names(headers.get(EXTRAS)),
    )


def _count(value: object) -> int:
    return max(0, value) if isinstance(value, int) and not isinstance(value, bool) else 0


def _names(value: object) -> tuple[str, ...]:
    """Return the names of a list. Unknown ones stay, so that a newer worker finds them after a retry."""
    if not isinstance(value, str) or len(value) > _MAX_EXTRAS_CHARACTERS:
        return ()
    return tuple(name for part in value.split(",") if (name := part.strip()))
