"""A queue of songs on each backend, with the actions of a test from outside."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from msaas.errors import QueueUnavailable
from msaas.queue.memory.songs import InMemorySongQueue
from msaas.queue.rabbitmq.address import BrokerAddress
from msaas.queue.rabbitmq.consumer import RabbitSongConsumer
from msaas.queue.rabbitmq.publishing import REASON, read_message
from msaas.queue.rabbitmq.songs import RabbitSongQueue
from msaas.queue.rabbitmq.topology import Topology
from msaas.queue.songs import SongConsumer, SongMessage, SongQueue
from tests.servers import RabbitServer, wait_until
from tests.tcp_proxy import TcpProxy

#: Both backends of the tests have it.
MAX_MESSAGE_BYTES = 2**20


@dataclass(kw_only=True)
class SongBench:
    """A queue and the actions of a test from outside."""

    queue: SongQueue
    open_consumer: Callable[[], SongConsumer]
    #: End the connection of a consumer, as its death does.
    kill: Callable[[SongConsumer], Any]
    #: Put a message of any kind into the queue.
    put: Callable[[SongMessage], Any]
    #: Messages with their reasons that were moved to the dead-letter queue since the last call.
    dead: Callable[[], list[tuple[SongMessage, str]]]
    close: Callable[[], Any]


def memory_song_bench() -> SongBench:
    queue = InMemorySongQueue(max_message_bytes=MAX_MESSAGE_BYTES)

    def dead() -> list[tuple[SongMessage, str]]:
        found = [(each.message, each.reason) for each in queue.dead]
        queue.dead.clear()
        return found

    return SongBench(
        queue=queue,
        open_consumer=queue.consumer,
        kill=lambda consumer: queue.lose_deliveries(),
        put=queue.put,
        dead=dead,
        close=lambda: None,
    )


@dataclass
class RabbitBenchParts:
    """Each consumer has a proxy of its own, which a test may cut."""

    server: RabbitServer
    topology: Topology
    consumers: list[tuple[RabbitSongConsumer, TcpProxy]] = field(default_factory=list)

    def open_consumer(self) -> RabbitSongConsumer:
        proxy = TcpProxy("127.0.0.1", self.server.port)
        address = BrokerAddress(host=proxy.host, port=proxy.port)
        consumer = RabbitSongConsumer(address, worker=f"w{len(self.consumers)}", topology=self.topology)
        self.consumers.append((consumer, proxy))
        return consumer

    def kill(self, consumer: SongConsumer) -> None:
        """End the connection without a word about its deliveries, as the death of a process does."""
        [proxy] = [proxy for each, proxy in self.consumers if each is consumer]
        proxy.close()

    def close(self) -> None:
        for consumer, proxy in self.consumers:
            consumer.close()
            proxy.close()

    def dead(self) -> list[tuple[SongMessage, str]]:
        found = []
        with self.server.client() as client:
            channel = client.channel()
            while True:
                method, properties, body = channel.basic_get(self.topology.dead, auto_ack=True)
                if method is None:
                    return found
                found.append((read_message(properties, body), (properties.headers or {})[REASON]))


def rabbit_song_bench(server: RabbitServer, *, queue_type: str) -> SongBench:
    name = f"songs-{queue_type}-{time.monotonic_ns()}"
    arguments: dict[str, Any] = {} if queue_type == "classic" else {"x-queue-type": queue_type}
    parts = RabbitBenchParts(server, Topology(queue=name, arguments=arguments, held_ttl_s=1.0))
    queue = RabbitSongQueue(server.address, topology=parts.topology, max_message_bytes=MAX_MESSAGE_BYTES)
    wait_until(lambda: answers(queue))

    def put(message: SongMessage) -> None:
        queue._link.call(lambda session: session.publish(message), timeout_s=10)

    def close() -> None:
        parts.close()
        queue.close()

    return SongBench(
        queue=queue,
        open_consumer=parts.open_consumer,
        kill=parts.kill,
        put=put,
        dead=parts.dead,
        close=close,
    )


def answers(queue: SongQueue) -> bool:
    try:
        queue.ping()
    except QueueUnavailable:
        return False
    return True
