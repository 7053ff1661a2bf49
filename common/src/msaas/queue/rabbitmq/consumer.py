"""`SongConsumer` in RabbitMQ, and its deliveries.

A worker subscribes when it takes a song, and cancels the subscription with the song: no second song waits at
a worker that is busy for hours.

The broker takes a delivery back that is not acknowledged within its `consumer_timeout`, 30 minutes by
default. `hold` begins this time anew: it stores a copy of the song in the queue of this worker, takes it from
there, and only then acknowledges the delivery before. At each instant the broker has the song, and when the
connection of the worker ends, the copy goes back to the queue of songs by its expiry.
"""

import queue
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pika
import pika.exceptions

from msaas.errors import LeaseLost, QueueFull, QueueUnavailable
from msaas.logs import get_logger
from msaas.queue.rabbitmq.address import BrokerAddress
from msaas.queue.rabbitmq.link import HEARTBEAT_S, Link, version_of
from msaas.queue.rabbitmq.publishing import PublishingChannel, read_message
from msaas.queue.rabbitmq.topology import Topology, declare
from msaas.queue.songs import Delivery, SongMessage

#: Longest wait for the broker in a call. A song of 128 MiB needs 6 MiB/s, and a worker that stops has 30 s.
CALL_S = 20.0
#: Below a third of the default `consumer_timeout` of 30 minutes: two attempts at `hold` may fail.
HOLD_EVERY_S = 600.0
#: From this version on a consumer may set its own timeout (rabbitmq-server #5437).
_OWN_TIMEOUT = (3, 12)
#: A timeout that a consumer may set, in multiples of the interval of `hold`.
_TIMEOUT_HOLDS = 4
#: An alarm of the broker that lasts longer ends the connection.
_BLOCKED_S = 600.0
#: A copy and the copy before it.
_COPIES = 2
#: Longest wait for a copy that was confirmed, and interval of the look for it.
_COPY_S, _COPY_LOOK_S = 10.0, 0.1
#: Of the last call of a worker that stops.
_CLOSE_S = 2.0
_TIMED_OUT = re.compile(r"acknowledgement .*timed out\. Timeout value used: (\d+) ms")

T = TypeVar("T")

log = get_logger()


@dataclass
class _HoldInterval:
    """The interval of `hold`. It shrinks if the broker's time is shorter than expected."""

    seconds: float

    def learn(self, timeout_s: float) -> None:
        self.seconds = min(self.seconds, timeout_s / 3)


class _Consuming:
    """Implements `Session`: one channel for deliveries, and one for publishing."""

    def __init__(
        self,
        connection: pika.BlockingConnection,
        *,
        topology: Topology,
        worker: str,
        arrived: "queue.SimpleQueue[_Arrival]",
        interval: _HoldInterval,
        own_timeout_s: float,
    ) -> None:
        self._connection = connection
        self._topology = topology
        self._arrived = arrived
        self._interval = interval
        declare(connection, topology)
        self.publisher = PublishingChannel(connection)
        self.channel: Any = connection.channel()
        self.channel.add_on_cancel_callback(self._on_cancel)
        # The blocking channel does not tell why it was closed.
        self.channel._impl.add_on_close_callback(self._on_close)
        self._tag = ""
        self._held = topology.held(worker)
        #: Delivery tags and message ids of copies that no delivery has.
        self._copies: list[tuple[int, str]] = []
        #: Songs that are not settled.
        self.unsettled = 0
        self._is_cancelled = self._has_ended = False
        self._timeout = self._own_timeout(version_of(connection), timeout_s=own_timeout_s)
        self._subscribe_to_copies()

    def _own_timeout(self, version: tuple[int, ...], *, timeout_s: float) -> dict[str, Any]:
        """Return the arguments by which a consumer sets its timeout, none if the broker is too old for it."""
        is_own = version >= _OWN_TIMEOUT
        log.info(
            "broker_connected",
            version=".".join(map(str, version)),
            acknowledgement_timeout_s=timeout_s if is_own else "unknown",
            hold_every_s=self._interval.seconds,
        )
        return {"x-consumer-timeout": int(1000 * timeout_s)} if is_own else {}

    @property
    def is_over(self) -> bool:
        return self._has_ended or not self.channel.is_open

    def check(self) -> None:
        if self._is_cancelled or not self.channel.is_open:
            raise pika.exceptions.ChannelClosed(0, "The channel of deliveries is closed.")

    def end(self) -> None:
        self._has_ended = True

    def subscribe(self) -> None:
        if not self._tag:
            self._tag = self.channel.basic_consume(
                self._topology.queue, self._on_message, arguments=self._timeout
            )

    def _on_message(self, channel: Any, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        channel.basic_cancel(self._tag)
        self._tag = ""
        self.unsettled += 1
        self._arrived.put(
            _Arrival(
                session=self,
                tag=method.delivery_tag,
                message=read_message(properties, body),
                is_redelivered=method.redelivered,
            )
        )

    def _on_cancel(self, _: object) -> None:
        """The broker ended the subscription: the queue was deleted, or a delivery took too long."""
        self._is_cancelled = True

    def _on_close(self, _: object, reason: BaseException) -> None:
        if timed_out := _TIMED_OUT.search(str(reason)):
            timeout_s = int(timed_out[1]) / 1000
            self._interval.learn(timeout_s)
            log.error("acknowledgement_timed_out", timeout_s=timeout_s, hold_every_s=self._interval.seconds)

    def _subscribe_to_copies(self) -> None:
        """Declare the queue of this worker, which exists as long as this subscription.

        It is declared before it is used: a quorum queue of the last half second is forgotten by a broker that
        is killed.
        """
        arguments = {**self._topology.held_arguments, **self._timeout}
        self.channel.queue_declare(self._held, durable=True, arguments=arguments)
        self.channel.basic_qos(prefetch_count=_COPIES)
        self.channel.basic_consume(self._held, self._on_copy, arguments=self._timeout)
        self.channel.basic_qos(prefetch_count=1)

    def _on_copy(self, _: Any, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        self._copies.append((method.delivery_tag, str(properties.message_id)))

    def store_copy(self, message: SongMessage) -> int:
        """Put a copy of a song into the queue of the worker and take it. Return its delivery tag.

        Raises:
            QueueUnavailable: there is no copy.
            AMQPError: nothing is known of it. The connection ends, and the delivery with it.
        """
        self.drop_copies()
        self.publisher.publish(message, queue=self._held)
        give_up_at = time.monotonic() + _COPY_S
        while time.monotonic() < give_up_at:
            for tag, message_id in self._copies:
                if message_id == message.message_id:
                    self._copies.remove((tag, message_id))
                    return tag
            self._connection.process_data_events(time_limit=_COPY_LOOK_S)
            self.check()
        raise pika.exceptions.ChannelClosed(0, f"The copy of the song did not come from {self._held}.")

    def drop_copies(self) -> None:
        """Acknowledge copies of calls that failed half-way."""
        for tag, _ in self._copies:
            self.channel.basic_ack(tag)
        self._copies.clear()

    def delete_held(self) -> None:
        """Delete the queue of the worker, unless it has a song."""
        if not self.unsettled:
            self.channel.queue_delete(self._held)

    def ask(self) -> None:
        """Wait for an answer of the broker. It answers in order: it has read all that was sent before."""
        self.channel.basic_qos(prefetch_count=1)


@dataclass(frozen=True, kw_only=True)
class _Arrival:
    session: _Consuming
    tag: int
    message: SongMessage
    is_redelivered: bool


class RabbitSongConsumer:
    """Implements `SongConsumer`. `worker` is a name that no other process ever has."""

    def __init__(
        self,
        address: BrokerAddress,
        *,
        worker: str,
        topology: Topology = Topology(),
        hold_every_s: float = HOLD_EVERY_S,
        call_s: float = CALL_S,
        heartbeat_s: int = HEARTBEAT_S,
    ) -> None:
        self.topology = topology
        self.call_s = call_s
        self.interval = _HoldInterval(hold_every_s)
        # Of the first interval: the queue of held songs cannot be declared with another one.
        own_timeout_s = _TIMEOUT_HOLDS * hold_every_s
        self._arrived: queue.SimpleQueue[_Arrival] = queue.SimpleQueue()
        self.link = Link(
            address,
            name=worker,
            on_open=lambda connection: _Consuming(
                connection,
                topology=topology,
                worker=worker,
                arrived=self._arrived,
                interval=self.interval,
                own_timeout_s=own_timeout_s,
            ),
            blocked_s=_BLOCKED_S,
            heartbeat_s=heartbeat_s,
        )

    def take(self, *, timeout_s: float) -> Delivery | None:
        self.link.call(lambda session: session.subscribe(), timeout_s=self.call_s)
        with suppress(queue.Empty):
            arrival = self._arrived.get(timeout=timeout_s)
            if not arrival.session.is_over:
                return RabbitDelivery(self, arrival)
        return None

    def close(self) -> None:
        """A song that arrived and was not taken waits again, without an attempt."""
        with suppress(queue.Empty, LeaseLost, QueueUnavailable):
            while True:
                RabbitDelivery(self, self._arrived.get_nowait()).release()
        with suppress(QueueUnavailable):
            self.link.call(lambda session: session.delete_held(), timeout_s=_CLOSE_S)
        self.link.close()


class RabbitDelivery:
    """Implements `Delivery`. All changes happen in the thread of the connection."""

    def __init__(self, consumer: RabbitSongConsumer, arrival: _Arrival) -> None:
        self._consumer = consumer
        self._session = arrival.session
        self._tag = arrival.tag
        self._is_settled = False
        self.message = arrival.message
        self.is_redelivered = arrival.is_redelivered
        self.attempt = arrival.message.attempts + arrival.is_redelivered + 1

    @property
    def hold_every_s(self) -> float:
        return self._consumer.interval.seconds

    @property
    def is_lost(self) -> bool:
        return self._session.is_over or self._is_settled

    def verify(self) -> None:
        self._do(self._session.ask)

    def hold(self) -> None:
        self._check_alarm()
        self._do(self._hold)

    def complete(self) -> None:
        self._do(self._acknowledge)

    def release(self) -> None:
        self._send_back(attempts=self.attempt - 1, releases=self.message.releases + 1)

    def retry(self) -> None:
        self._send_back(attempts=self.attempt, releases=self.message.releases)

    def dead_letter(self, reason: str) -> None:
        self._check_alarm()
        # A song that an operator moves back begins anew.
        message = replace(self.message, attempts=0, releases=0)
        dead = self._consumer.topology.dead

        def move() -> None:
            self._session.publisher.publish(message, queue="", exchange=dead, reason=reason)
            self._acknowledge()

        self._do(move)

    def _send_back(self, *, attempts: int, releases: int) -> None:
        self._check_alarm()
        message = replace(self.message, attempts=attempts, releases=releases)

        def send() -> None:
            self._session.publisher.publish(message, queue=self._consumer.topology.queue)
            self._acknowledge()

        self._do(send)

    def _check_alarm(self) -> None:
        """A message would wait in the connection until the alarm of the broker ends."""
        if self._consumer.link.is_blocked:
            raise QueueFull("The broker accepts no messages: its memory or its disk is full.")

    def _do(self, act: Callable[[], T]) -> T:
        """Run `act` in the thread of the connection while the song is this worker's."""

        def run(session: _Consuming) -> T:
            if session is not self._session or self.is_lost:
                raise self._lost()
            return act()

        if self.is_lost:
            raise self._lost()
        try:
            return self._consumer.link.call(run, timeout_s=self._consumer.call_s)
        except QueueUnavailable:
            if self.is_lost:
                raise self._lost() from None
            raise

    def _lost(self) -> LeaseLost:
        return LeaseLost(f"The delivery of song {self.message.message_id[:64]!r} is lost.")

    # In the thread of the connection

    def _acknowledge(self) -> None:
        session = self._session
        session.channel.basic_ack(self._tag)
        session.drop_copies()
        session.ask()
        self._is_settled = True
        session.unsettled -= 1

    def _hold(self) -> None:
        session, before = self._session, self._tag
        self._tag = session.store_copy(replace(self.message, attempts=self.attempt))
        session.channel.basic_ack(before)
        session.ask()
