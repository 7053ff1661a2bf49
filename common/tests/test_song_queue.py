"""The queue of songs: one body of tests on the in-memory twin and on both kinds of queue of RabbitMQ."""

from collections.abc import Iterator

import pytest

from common.tests.song_benches import (
    MAX_MESSAGE_BYTES,
    SongBench,
    memory_song_bench,
    rabbit_song_bench,
)
from msaas.errors import LeaseLost, MessageTooLarge
from msaas.queue.songs import Delivery, SongConsumer, SongMessage
from msaas.songs import song_hash

BODY = b"ID3" + bytes(range(256)) * 20
HASH = song_hash(BODY)
OTHER = b"another song"
#: A held song of a worker that died is back within the time its copy lives.
BACK_S = 15.0


@pytest.fixture(params=["memory", "classic", "quorum"])
def bench(request: pytest.FixtureRequest) -> Iterator[SongBench]:
    if request.param == "memory":
        yield memory_song_bench()
        return
    bench = rabbit_song_bench(request.getfixturevalue("rabbit_server"), queue_type=request.param)
    yield bench
    bench.close()


@pytest.fixture
def consumer(bench: SongBench) -> SongConsumer:
    return bench.open_consumer()


def take(consumer: SongConsumer, *, timeout_s: float = 10.0) -> Delivery:
    delivery = consumer.take(timeout_s=timeout_s)
    assert delivery is not None
    return delivery


def assert_empty(bench: SongBench) -> None:
    assert bench.open_consumer().take(timeout_s=0.3) is None


def test_song_is_delivered_as_it_was_published(bench: SongBench, consumer: SongConsumer) -> None:
    bench.queue.publish(HASH, BODY)
    delivery = take(consumer)
    assert delivery.message == SongMessage(message_id=HASH, body=BODY)
    assert (delivery.attempt, delivery.is_redelivered, delivery.is_lost) == (1, False, False)


EXTRAS = ("peaks", "analysis", "of-a-newer-release")


def test_extras_survive_each_way_back_into_the_queue(bench: SongBench, consumer: SongConsumer) -> None:
    bench.queue.publish(HASH, BODY, extras=EXTRAS)
    for end in ("release", "retry", "hold"):
        delivery = take(consumer)
        assert delivery.message.extras == EXTRAS
        getattr(delivery, end)()
    delivery.release()
    delivery = take(consumer)
    assert delivery.message.extras == EXTRAS
    delivery.dead_letter("reason")
    [(message, _)] = bench.dead()
    assert message == SongMessage(message_id=HASH, body=BODY, extras=EXTRAS)


def test_extras_survive_the_death_of_consumers(bench: SongBench, consumer: SongConsumer) -> None:
    bench.queue.publish(HASH, BODY, extras=EXTRAS)
    take(consumer)
    bench.kill(consumer)
    second = bench.open_consumer()
    again = take(second)
    assert (again.is_redelivered, again.message.extras) == (True, EXTRAS)
    again.hold()
    bench.kill(second)
    assert take(bench.open_consumer(), timeout_s=BACK_S).message.extras == EXTRAS


def test_songs_are_delivered_in_order_and_one_at_a_time(bench: SongBench, consumer: SongConsumer) -> None:
    bodies = [b"song %d" % number for number in range(5)]
    for body in bodies:
        bench.queue.publish(song_hash(body), body)
    second = bench.open_consumer()
    found = []
    for each in (consumer, second, consumer, second, consumer):
        delivery = take(each)
        found.append(delivery.message.body)
        delivery.complete()
    assert found == bodies
    assert_empty(bench)


def test_busy_consumer_leaves_the_next_song_to_others(bench: SongBench, consumer: SongConsumer) -> None:
    bench.queue.publish(HASH, BODY)
    busy = take(consumer)
    bench.queue.publish(song_hash(OTHER), OTHER)
    assert take(bench.open_consumer()).message.body == OTHER
    busy.verify()


def test_take_returns_none_without_a_song(consumer: SongConsumer) -> None:
    assert consumer.take(timeout_s=0.1) is None


def test_song_that_comes_later_is_taken(bench: SongBench, consumer: SongConsumer) -> None:
    assert consumer.take(timeout_s=0.1) is None
    bench.queue.publish(HASH, BODY)
    assert take(consumer).message.body == BODY


def test_completed_song_never_comes_again(bench: SongBench, consumer: SongConsumer) -> None:
    bench.queue.publish(HASH, BODY)
    delivery = take(consumer)
    delivery.verify()
    delivery.complete()
    bench.kill(consumer)
    assert_empty(bench)


def test_settled_delivery_is_lost(bench: SongBench, consumer: SongConsumer) -> None:
    bench.queue.publish(HASH, BODY)
    delivery = take(consumer)
    delivery.complete()
    assert delivery.is_lost
    for call in (delivery.verify, delivery.complete, delivery.hold, delivery.release, delivery.retry):
        with pytest.raises(LeaseLost):
            call()


def test_release_does_not_count_an_attempt(bench: SongBench, consumer: SongConsumer) -> None:
    bench.queue.publish(HASH, BODY)
    for releases in range(3):
        delivery = take(consumer)
        assert (delivery.attempt, delivery.message.releases) == (1, releases)
        delivery.release()


def test_retry_counts_an_attempt(bench: SongBench, consumer: SongConsumer) -> None:
    bench.queue.publish(HASH, BODY)
    for attempt in (1, 2, 3):
        delivery = take(consumer)
        assert (delivery.attempt, delivery.message.body) == (attempt, BODY)
        delivery.retry()


def test_dead_letter_has_the_song_and_the_reason(bench: SongBench, consumer: SongConsumer) -> None:
    bench.queue.publish(HASH, BODY)
    take(consumer).dead_letter("undecodable_song: It cannot be read.")
    [(message, reason)] = bench.dead()
    assert message == SongMessage(message_id=HASH, body=BODY)
    assert reason == "undecodable_song: It cannot be read."
    assert_empty(bench)


def test_death_of_a_consumer_counts_an_attempt(bench: SongBench, consumer: SongConsumer) -> None:
    bench.queue.publish(HASH, BODY)
    delivery = take(consumer)
    bench.kill(consumer)
    again = take(bench.open_consumer())
    assert (again.attempt, again.is_redelivered, again.message.body) == (2, True, BODY)
    assert delivery.is_lost
    with pytest.raises(LeaseLost):
        delivery.complete()


def test_every_death_is_counted_if_redelivered_songs_are_held(bench: SongBench) -> None:
    """The rule of workers: a delivery that comes again is held before the work on it."""
    bench.queue.publish(HASH, BODY)
    for attempt in range(1, 6):
        consumer = bench.open_consumer()
        delivery = take(consumer, timeout_s=BACK_S)
        assert delivery.attempt == attempt
        if delivery.is_redelivered:
            delivery.hold()
        bench.kill(consumer)
    assert take(bench.open_consumer(), timeout_s=BACK_S).attempt == 6


def test_held_song_is_still_the_consumers(bench: SongBench, consumer: SongConsumer) -> None:
    bench.queue.publish(HASH, BODY)
    delivery = take(consumer)
    for _ in range(3):
        delivery.hold()
        delivery.verify()
    assert (delivery.attempt, delivery.is_lost) == (1, False)
    assert_empty(bench)
    delivery.complete()
    bench.kill(consumer)
    assert_empty(bench)


def test_held_song_can_be_settled_in_every_way(bench: SongBench, consumer: SongConsumer) -> None:
    bench.queue.publish(HASH, BODY)
    delivery = take(consumer)
    delivery.hold()
    delivery.release()
    delivery = take(consumer)
    assert delivery.attempt == 1
    delivery.hold()
    delivery.retry()
    delivery = take(consumer)
    assert delivery.attempt == 2
    delivery.hold()
    delivery.dead_letter("reason")
    [(message, _)] = bench.dead()
    assert (message.body, message.attempts) == (BODY, 0)
    assert_empty(bench)


def test_held_song_of_a_dead_consumer_comes_back_once(bench: SongBench, consumer: SongConsumer) -> None:
    bench.queue.publish(HASH, BODY)
    delivery = take(consumer)
    delivery.hold()
    delivery.hold()
    bench.kill(consumer)
    again = take(bench.open_consumer(), timeout_s=BACK_S)
    assert (again.attempt, again.message.body) == (2, BODY)
    again.complete()
    assert_empty(bench)


@pytest.mark.parametrize("size", [MAX_MESSAGE_BYTES + 1, 2 * MAX_MESSAGE_BYTES])
def test_song_above_the_limit_is_refused(bench: SongBench, consumer: SongConsumer, size: int) -> None:
    with pytest.raises(MessageTooLarge, match=str(MAX_MESSAGE_BYTES)):
        bench.queue.check_size(size)
    with pytest.raises(MessageTooLarge, match=str(MAX_MESSAGE_BYTES)):
        bench.queue.publish(HASH, bytes(size))
    assert consumer.take(timeout_s=0.3) is None


def test_song_at_the_limit_is_delivered(bench: SongBench, consumer: SongConsumer) -> None:
    body = bytes(MAX_MESSAGE_BYTES)
    bench.queue.check_size(len(body))
    bench.queue.publish(song_hash(body), body)
    assert take(consumer).message.body == body


@pytest.mark.parametrize("message_id", ["", "x" * 255, "ü/../\n"])
def test_message_with_any_id_can_be_dead_lettered(
    bench: SongBench, consumer: SongConsumer, message_id: str
) -> None:
    bench.put(SongMessage(message_id=message_id, body=b""))
    delivery = take(consumer)
    assert delivery.message.message_id == message_id
    delivery.hold()
    delivery.dead_letter("invalid_id")
    assert [message.message_id for message, _ in bench.dead()] == [message_id]


def test_taken_song_waits_again_when_its_consumer_closes(bench: SongBench, consumer: SongConsumer) -> None:
    bench.queue.publish(HASH, BODY)
    take(consumer)
    consumer.close()
    assert take(bench.open_consumer()).message.body == BODY
