"""Names of queues and exchanges in the broker, and their arguments."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pika
import pika.exceptions

_NOT_FOUND = 404
#: The queue of a worker that died is deleted after this time. It is empty then.
_HELD_EXPIRES_S = 600.0


@dataclass(frozen=True, kw_only=True)
class Topology:
    """The queue of songs, and those that belong to it.

    Without arguments the queue is a durable classic one, as the workers of other systems declare it: a queue
    that exists with other arguments cannot be declared.
    """

    queue: str = "vocalizer_queue"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    #: A held song whose worker died goes back to the queue after this time at the latest.
    held_ttl_s: float = 10.0

    @property
    def dead(self) -> str:
        """The name of the dead-letter exchange and of its queue."""
        return f"{self.queue}.dead"

    def held(self, worker: str) -> str:
        """Return the queue of the song that a worker holds."""
        return f"{self.queue}.held.{worker}"

    @property
    def _type(self) -> dict[str, Any]:
        kind = self.arguments.get("x-queue-type")
        return {"x-queue-type": kind} if kind else {}

    @property
    def dead_arguments(self) -> dict[str, Any]:
        return self._type

    @property
    def held_arguments(self) -> dict[str, Any]:
        """Arguments by which a song without its worker goes back to the queue.

        A message expires only while it is not delivered: never while a worker has it. When the connection of
        the worker ends, it expires and is dead-lettered into the queue of songs.
        """
        safe = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
        return {
            **self._type,
            "x-message-ttl": int(1000 * self.held_ttl_s),
            "x-expires": int(1000 * _HELD_EXPIRES_S),
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": self.queue,
            **(safe if self._type.get("x-queue-type") == "quorum" else {}),
        }


def declare(connection: pika.BlockingConnection, topology: Topology) -> None:
    """Declare what is missing. A queue that exists is used with the arguments it has."""
    if not _exists(connection, topology.queue):
        _declare_queue(connection, topology.queue, topology.arguments)
    if not _exists(connection, topology.dead):
        _declare_queue(connection, topology.dead, topology.dead_arguments)
    channel = connection.channel()
    channel.exchange_declare(topology.dead, exchange_type="fanout", durable=True)
    channel.queue_bind(topology.dead, topology.dead, routing_key="")
    channel.close()


def _exists(connection: pika.BlockingConnection, queue: str) -> bool:
    channel = connection.channel()
    try:
        channel.queue_declare(queue, passive=True)
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code != _NOT_FOUND:
            raise
        return False
    channel.close()
    return True


def _declare_queue(connection: pika.BlockingConnection, queue: str, arguments: Mapping[str, Any]) -> None:
    channel = connection.channel()
    channel.queue_declare(queue, durable=True, arguments=dict(arguments))
    channel.close()
