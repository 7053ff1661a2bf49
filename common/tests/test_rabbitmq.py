"""What only a real broker does: restarts, silence, alarms, limits, timeouts and heartbeats."""

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pika
import pytest
from structlog.typing import EventDict

from common.tests.song_benches import answers
from msaas.errors import LeaseLost, MessageTooLarge, QueueFull, QueueUnavailable
from msaas.queue.rabbitmq.address import BrokerAddress
from msaas.queue.rabbitmq.consumer import RabbitSongConsumer
from msaas.queue.rabbitmq.publishing import read_message
from msaas.queue.rabbitmq.songs import RabbitSongQueue
from msaas.queue.rabbitmq.topology import Topology
from msaas.queue.songs import Delivery
from msaas.songs import song_hash
from tests.servers import RabbitServer, free_port, rabbit_running, wait_until

BODY = b"a song"
HASH = song_hash(BODY)


@contextmanager
def open_queue(server: RabbitServer, **options: Any) -> Iterator[RabbitSongQueue]:
    queue = RabbitSongQueue(server.address, **options)
    try:
        wait_until(lambda: answers(queue))
        yield queue
    finally:
        queue.close()


@contextmanager
def open_consumer(server: RabbitServer, **options: Any) -> Iterator[RabbitSongConsumer]:
    consumer = RabbitSongConsumer(server.address, worker=f"w{time.monotonic_ns()}", **options)
    try:
        yield consumer
    finally:
        consumer.close()


def take(consumer: RabbitSongConsumer, *, timeout_s: float = 60.0) -> Delivery:
    """Take the next song, also if the broker is away first."""
    found: list[Delivery] = []

    def has_taken() -> bool:
        try:
            delivery = consumer.take(timeout_s=0.5)
        except QueueUnavailable:
            return False
        found.extend([delivery] if delivery else [])
        return bool(found)

    wait_until(has_taken, timeout_s=timeout_s)
    return found[0]


# Messages and queues


def test_message_has_the_form_that_other_workers_expect(rabbit_server: RabbitServer) -> None:
    topology = Topology(queue="form")
    with open_queue(rabbit_server, topology=topology) as queue, rabbit_server.client() as client:
        queue.publish(HASH, BODY)
        method, properties, body = client.channel().basic_get("form", auto_ack=True)
    assert (body, properties.message_id, properties.delivery_mode) == (BODY, HASH, 2)
    assert (properties.headers, method.exchange, method.routing_key) == (None, "", "form")


def test_extras_are_a_header_of_the_message(rabbit_server: RabbitServer) -> None:
    topology = Topology(queue="extras")
    with open_queue(rabbit_server, topology=topology) as queue, rabbit_server.client() as client:
        queue.publish(HASH, BODY, extras=("peaks", "analysis"))
        _, properties, body = client.channel().basic_get("extras", auto_ack=True)
    assert (body, properties.message_id, properties.delivery_mode) == (BODY, HASH, 2)
    assert properties.headers == {"msaas-extras": "peaks,analysis"}


@pytest.mark.parametrize(
    ("header", "extras"),
    [
        (" peaks ,, analysis,chords", ("peaks", "analysis", "chords")),
        ("", ()),
        (",", ()),
        (7, ()),
        (None, ()),
        (b"\xff\xfe", ()),
        (["peaks"], ()),
        ({"peaks": 1}, ()),
        ("peaks," * 100, ()),
    ],
)
def test_foreign_extras_are_read_or_ignored(header: Any, extras: tuple[str, ...]) -> None:
    properties = pika.BasicProperties(message_id=HASH, headers={"msaas-extras": header})
    assert read_message(properties, BODY).extras == extras


def test_queue_is_declared_as_other_systems_declare_it(rabbit_server: RabbitServer) -> None:
    with open_queue(rabbit_server), rabbit_server.client() as client:
        client.channel().queue_declare("vocalizer_queue", durable=True)


def test_queue_that_exists_with_other_arguments_is_used(rabbit_server: RabbitServer) -> None:
    with rabbit_server.client() as client:
        client.channel().queue_declare("limited", durable=True, arguments={"x-max-length": 1})
    topology = Topology(queue="limited", arguments={"x-queue-type": "quorum"})
    with open_queue(rabbit_server, topology=topology) as queue:
        queue.publish(HASH, BODY)
        with open_consumer(rabbit_server, topology=topology) as consumer:
            take(consumer).complete()


def test_queue_that_is_full_refuses_songs(rabbit_server: RabbitServer) -> None:
    topology = Topology(queue="full", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    with open_queue(rabbit_server, topology=topology) as queue:
        queue.publish(HASH, BODY)
        with pytest.raises(QueueFull):
            queue.publish(HASH, BODY)


def test_deleted_queue_is_declared_again(rabbit_server: RabbitServer) -> None:
    topology = Topology(queue="deleted")
    with open_queue(rabbit_server, topology=topology) as queue:
        with rabbit_server.client() as client:
            client.channel().queue_delete("deleted")
        with pytest.raises(QueueUnavailable, match="does not exist"):
            queue.publish(HASH, BODY)
        queue.publish(HASH, BODY)
        assert rabbit_server.ready("deleted") == 1


def test_consumer_of_a_deleted_queue_goes_on(rabbit_server: RabbitServer) -> None:
    topology = Topology(queue="vanished")
    with (
        open_queue(rabbit_server, topology=topology) as queue,
        open_consumer(rabbit_server, topology=topology) as consumer,
    ):
        assert consumer.take(timeout_s=0.1) is None
        with rabbit_server.client() as client:
            client.channel().queue_delete("vanished")
        wait_until(lambda: takes_nothing(consumer))
        queue.ping()
        publish_patiently(queue)
        take(consumer).complete()


def takes_nothing(consumer: RabbitSongConsumer) -> bool:
    """Return whether the consumer is connected, and there is no song."""
    try:
        return consumer.take(timeout_s=0.1) is None
    except QueueUnavailable:
        return False


def publish_patiently(queue: RabbitSongQueue) -> None:
    def is_published() -> bool:
        try:
            queue.publish(HASH, BODY)
        except QueueUnavailable:
            return False
        return True

    wait_until(is_published)


def test_foreign_headers_are_no_attempts(rabbit_server: RabbitServer) -> None:
    headers = {"msaas-attempts": "many", "msaas-releases": -4, "x-death": "text"}
    topology = Topology(queue="foreign")
    with open_consumer(rabbit_server, topology=topology) as consumer:
        wait_until(lambda: takes_nothing(consumer))
        with rabbit_server.client() as client:
            properties = pika.BasicProperties(message_id=HASH, headers=headers)
            client.channel().basic_publish("", "foreign", BODY, properties=properties)
        delivery = take(consumer)
        assert (delivery.attempt, delivery.message.releases) == (1, 0)
        delivery.complete()


# Limits


def test_limit_of_the_broker_is_learned(rabbit_server: RabbitServer) -> None:
    """The broker of the tests has a lower limit than others of its version."""
    topology = Topology(queue="limit")
    with open_queue(rabbit_server, topology=topology) as queue:
        queue.check_size(100 * 2**20)
        with pytest.raises(MessageTooLarge, match="1048576"):
            queue.publish(HASH, bytes(2**20 + 1))
        with pytest.raises(MessageTooLarge, match="1048576"):
            queue.check_size(2**20 + 1)
        queue.publish(HASH, bytes(2**20))
        assert rabbit_server.ready("limit") == 1


def test_size_that_no_broker_takes_is_refused_without_a_message(rabbit_server: RabbitServer) -> None:
    with open_queue(rabbit_server) as queue, pytest.raises(MessageTooLarge, match="134217728"):
        queue.check_size(128 * 2**20 + 1)


def test_memory_alarm_refuses_songs_and_their_worker_keeps_its_song(own_rabbit: RabbitServer) -> None:
    with open_queue(own_rabbit, call_s=5.0) as queue, open_consumer(own_rabbit) as consumer:
        queue.publish(HASH, BODY)
        delivery = take(consumer)
        own_rabbit.control("set_vm_memory_high_watermark", "0.000001")
        began = time.monotonic()
        with pytest.raises(QueueUnavailable):
            queue.publish(HASH, BODY)
        assert time.monotonic() - began <= 6
        delivery.verify()
        own_rabbit.control("set_vm_memory_high_watermark", "0.4")
        delivery.hold()
        delivery.complete()
        publish_patiently(queue)


# Outages


def test_unreachable_broker_is_an_error_at_once() -> None:
    queue = RabbitSongQueue(BrokerAddress(host="127.0.0.1", port=free_port()))
    try:
        wait_until(lambda: queue._link._failure)
        began = time.monotonic()
        for call in (queue.ping, lambda: queue.publish(HASH, BODY), lambda: queue.check_size(1)):
            with pytest.raises(QueueUnavailable, match="RabbitMQ at 127"):
                call()
        assert time.monotonic() - began <= 0.1
    finally:
        queue.close()


def test_silent_broker_blocks_no_call_for_longer_than_stated(own_rabbit: RabbitServer) -> None:
    with open_queue(own_rabbit, call_s=1.0) as queue:
        own_rabbit.pause()
        took: list[float] = []

        def publish() -> None:
            began = time.monotonic()
            with pytest.raises(QueueUnavailable):
                queue.publish(HASH, BODY)
            took.append(time.monotonic() - began)

        threads = [threading.Thread(target=publish) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        own_rabbit.resume()
        assert len(took) == 10
        assert max(took) <= 1.5
        publish_patiently(queue)


def test_wrong_password_is_named_and_not_logged(
    rabbit_server: RabbitServer, log_lines: list[EventDict], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    address = BrokerAddress(host="127.0.0.1", port=rabbit_server.port, user="ann", password="s3cret")
    queue = RabbitSongQueue(address)
    try:
        wait_until(lambda: any(line["event"] == "broker_unavailable" for line in log_lines))
        with pytest.raises(QueueUnavailable, match="ACCESS_REFUSED") as refused:
            queue.publish(HASH, BODY)
    finally:
        queue.close()
    assert "s3cret" not in str(refused.value) + json.dumps(log_lines, default=str) + caplog.text


def test_songs_of_many_threads_are_all_stored(rabbit_server: RabbitServer) -> None:
    topology = Topology(queue="threads")
    with open_queue(rabbit_server, topology=topology) as queue:

        def publish(number: int) -> None:
            for each in range(25):
                body = b"%d of %d" % (each, number)
                queue.publish(song_hash(body), body)

        threads = [threading.Thread(target=publish, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert rabbit_server.ready("threads") == 200


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
@pytest.mark.parametrize("is_held", [False, True], ids=["delivered", "held"])
def test_song_survives_a_killed_broker(own_rabbit: RabbitServer, queue_type: str, is_held: bool) -> None:
    arguments = {} if queue_type == "classic" else {"x-queue-type": queue_type}
    topology = Topology(arguments=arguments, held_ttl_s=1.0)
    with open_queue(own_rabbit, topology=topology) as queue:
        with open_consumer(own_rabbit, topology=topology) as consumer:
            queue.publish(HASH, BODY)
            queue.publish(HASH, b"waiting")
            delivery = take(consumer)
            time.sleep(2)  # RabbitMQ 3.10 writes a new quorum queue to disk a moment later.
            if is_held:
                delivery.hold()
            own_rabbit.kill()
            wait_until(lambda: delivery.is_lost)
            with pytest.raises(LeaseLost):
                delivery.complete()
            own_rabbit.start()
            found = []
            while {each.message.body for each in found} != {BODY, b"waiting"}:
                found.append(take(consumer))
                found[-1].complete()
            # A broker that is killed may forget an acknowledgement: copy and song come back.
            assert {each.attempt for each in found if each.message.body == BODY} == {2}
        publish_patiently(queue)


# Time


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """A broker that waits 5 s for an acknowledgement."""
    folder = tmp_path_factory.mktemp("impatient")
    with rabbit_running(folder, settings=["consumer_timeout = 5000"], tick_s=1.0) as server:
        yield server


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_held_song_outlives_the_time_of_the_broker(impatient: RabbitServer, queue_type: str) -> None:
    arguments = {} if queue_type == "classic" else {"x-queue-type": queue_type}
    topology = Topology(queue=f"held-{queue_type}", arguments=arguments)
    with (
        open_queue(impatient, topology=topology) as queue,
        open_consumer(impatient, topology=topology, hold_every_s=1.5) as consumer,
    ):
        queue.publish(HASH, BODY)
        delivery = take(consumer)
        until = time.monotonic() + 18
        while time.monotonic() < until:
            time.sleep(delivery.hold_every_s)
            delivery.hold()
        delivery.complete()
        assert consumer.take(timeout_s=1) is None


def test_song_that_is_not_held_is_lost_and_the_time_is_learned(
    impatient: RabbitServer, log_lines: list[EventDict]
) -> None:
    topology = Topology(queue="not-held")
    with (
        open_queue(impatient, topology=topology) as queue,
        open_consumer(impatient, topology=topology) as consumer,
    ):
        queue.publish(HASH, BODY)
        delivery = take(consumer)
        wait_until(lambda: delivery.is_lost, timeout_s=20)
        with pytest.raises(LeaseLost):
            delivery.verify()
        again = take(consumer)
        assert (again.attempt, round(again.hold_every_s, 2)) == (2, 1.67)
        again.complete()
    [line] = [line for line in log_lines if line["event"] == "acknowledgement_timed_out"]
    assert (line["timeout_s"], line["log_level"]) == (5.0, "error")


def test_heartbeats_hold_while_the_song_is_worked_on(rabbit_server: RabbitServer) -> None:
    topology = Topology(queue="heartbeats")
    with (
        open_queue(rabbit_server, topology=topology) as queue,
        open_consumer(rabbit_server, topology=topology, heartbeat_s=1) as consumer,
    ):
        queue.publish(HASH, BODY)
        delivery = take(consumer)
        time.sleep(8)
        assert not delivery.is_lost
        delivery.complete()


def test_worker_that_stops_leaves_no_queue(rabbit_server: RabbitServer) -> None:
    topology = Topology(queue="traces")
    with open_queue(rabbit_server, topology=topology) as queue:
        with open_consumer(rabbit_server, topology=topology) as consumer:
            queue.publish(HASH, BODY)
            delivery = take(consumer)
            delivery.hold()
            delivery.complete()
            assert "traces.held" in rabbit_server.control("list_queues", "name")
        assert "traces.held" not in rabbit_server.control("list_queues", "name")


def test_worker_that_stops_with_a_song_leaves_it(rabbit_server: RabbitServer) -> None:
    topology = Topology(queue="left", held_ttl_s=1.0)
    with open_queue(rabbit_server, topology=topology) as queue:
        with open_consumer(rabbit_server, topology=topology) as consumer:
            queue.publish(HASH, BODY)
            take(consumer).hold()
        with open_consumer(rabbit_server, topology=topology) as consumer:
            take(consumer, timeout_s=15).complete()
