"""Fair order on each queue: owners take turns, each of them first come, first served."""

import pytest

from common.tests.backends import QueueBench
from common.tests.steps import RESULT, claim_next
from msaas.jobs import Job
from msaas.queue.memory import InMemoryQueue
from msaas.queue.protocol import MAX_POSITION, Cancellation, JobQueue, Request
from msaas.queue.redis.jobs import RedisQueue
from msaas.queue.redis.keys import Keys
from tests.servers import RedisServer


def send(queue: JobQueue, owner: str, *songs: str) -> None:
    for song in songs:
        queue.enqueue(Job(job_id=song), request=Request(id=f"{owner}-{song}", owner=owner))


def work(queue: JobQueue, jobs: int) -> list[str]:
    worker, done = queue.consumer("w1"), []
    for _ in range(jobs):
        claim = claim_next(worker)
        done.append(claim.job.job_id)
        worker.finish(claim, RESULT)
    return done


def test_one_owner_is_served_in_the_order_of_requests(queue: JobQueue) -> None:
    send(queue, "ann", *"abc")
    assert queue.waiting() == [*"abc"]


def test_owners_take_turns(queue: JobQueue) -> None:
    send(queue, "ann", *"abcd")
    send(queue, "bob", *"xy")
    send(queue, "eve", "z")
    assert queue.waiting() == [*"axzbycd"]


def test_new_owner_begins_with_the_current_turn(queue: JobQueue) -> None:
    send(queue, "ann", *[f"a{number}" for number in range(100)])
    assert work(queue, 60)[-1] == "a59"
    send(queue, "bob", "b0", "b1")
    assert queue.waiting()[:5] == ["a60", "b0", "a61", "b1", "a62"]


def test_owner_that_was_away_gets_no_turns_afterwards(queue: JobQueue) -> None:
    send(queue, "bob", "b0")
    send(queue, "ann", *[f"a{number}" for number in range(10)])
    assert work(queue, 6) == ["b0", "a0", "a1", "a2", "a3", "a4"]
    send(queue, "bob", "b1", "b2")
    assert queue.waiting()[:4] == ["a5", "b1", "a6", "b2"]


def test_thousand_songs_of_one_owner_delay_another_by_one(queue: JobQueue) -> None:
    send(queue, "heavy", *[f"h{number}" for number in range(1000)])
    send(queue, "light", "l")
    assert queue.waiting(limit=3) == ["h0", "l", "h1"]


def test_job_moves_forward_when_another_owner_asks_for_it(queue: JobQueue) -> None:
    send(queue, "ann", *"abcdef")
    send(queue, "bob", "e")
    assert queue.waiting() == [*"aebcdf"]
    assert queue.cancel("e", Cancellation(owner="ann")) == 1
    assert queue.waiting() == [*"aebcdf"]


def test_job_does_not_move_when_its_owner_asks_again(queue: JobQueue) -> None:
    send(queue, "ann", *"abc")
    send(queue, "ann", "c")
    assert queue.waiting() == [*"abc"]


def test_cancelled_job_gives_its_turn_back(queue: JobQueue) -> None:
    send(queue, "ann", *"abcdef")
    for song in "bcdef":
        queue.cancel(song, Cancellation(owner="ann"))
    send(queue, "bob", *"xyz")
    send(queue, "ann", "g")
    assert queue.waiting() == [*"axygz"]


def test_entries_pushed_by_hand_keep_their_place(queue: JobQueue, bench: QueueBench) -> None:
    send(queue, "ann", *"abc")
    bench.push(b"hand")
    send(queue, "bob", *"xyzw")
    assert queue.waiting() == ["a", "x", "b", "y", "c", "hand", "z", "w"]


def test_job_that_was_given_back_is_next(queue: JobQueue) -> None:
    send(queue, "ann", *"ab")
    worker = queue.consumer("w1")
    worker.release(claim_next(worker))
    send(queue, "bob", "x")
    assert queue.waiting() == [*"abx"]


def test_order_is_restored_after_entries_left_by_hand(redis_server: RedisServer) -> None:
    """A worker of an earlier release takes entries out of the list, and leaves the order as it is."""
    queue, client, keys = RedisQueue(redis_server.address), redis_server.client(), Keys()
    send(queue, "ann", *"abcdef")
    for _ in range(3):
        client.rpop(keys.waiting)
    send(queue, "bob", "x")
    assert queue.waiting() == [*"xdef"]
    client.delete(keys.waiting)
    send(queue, "bob", *"yz")
    send(queue, "ann", "g")
    assert queue.waiting() == [*"ygz"]


def test_twin_restores_the_order_after_entries_left_by_hand() -> None:
    queue = InMemoryQueue()
    send(queue, "ann", *"abcdef")
    for _ in range(3):
        queue.entries.popleft()
    send(queue, "bob", "x")
    assert queue.waiting() == [*"xdef"]
    queue.entries.clear()
    send(queue, "bob", *"yz")
    send(queue, "ann", "g")
    assert queue.waiting() == [*"ygz"]


def test_position_counts_the_entries_before(queue: JobQueue) -> None:
    send(queue, "ann", *"abc")
    send(queue, "bob", "x")
    positions = [status.position for status in queue.statuses([*"axbc"]) if status]
    assert positions == [1, 2, 3, 4]
    claim_next(queue.consumer("w1"))
    running, first = queue.statuses(["a", "x"])
    assert running
    assert running.position is None
    assert first
    assert first.position == 1


def test_position_counts_the_alias_first(redis_server: RedisServer) -> None:
    queue, client, keys = RedisQueue(redis_server.address), redis_server.client(), Keys()
    client.lpush(keys.alias, "m", "n")
    send(queue, "ann", *"ab")
    status = queue.status("b")
    assert status
    assert status.position == 4


def test_job_behind_very_many_has_no_position(redis_server: RedisServer) -> None:
    queue, client, keys = RedisQueue(redis_server.address), redis_server.client(), Keys()
    client.lpush(keys.waiting, *[f"h{number}" for number in range(MAX_POSITION)])
    send(queue, "ann", "a")
    status = queue.status("a")
    assert status
    assert status.position is None


@pytest.mark.parametrize("owners", [1, 40])
def test_each_owner_is_served_once_a_turn(queue: JobQueue, owners: int) -> None:
    for owner in range(owners):
        send(queue, f"o{owner}", *[f"{owner}-{number}" for number in range(5)])
    expected = [f"{owner}-{number}" for number in range(5) for owner in range(owners)]
    assert queue.waiting() == expected
