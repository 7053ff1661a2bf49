"""Stand-ins: the model that workers run in place of another, as each worker announces it."""

from common.tests.backends import POLICY, QueueBench
from common.tests.steps import AT_ONCE_S
from msaas.queue.abilities import Abilities
from msaas.queue.protocol import JobQueue

STARTER_ONLY = {"htdemucs": "starter", "starter": "starter"}
BOTH = {"htdemucs": "htdemucs", "starter": "starter"}
DAY_S = 24 * 3600.0


def announce(queue: JobQueue, worker: str, runs: dict[str, str]) -> None:
    """Let a live worker announce its models."""
    consumer = queue.consumer(worker)
    assert consumer.take(timeout_s=AT_ONCE_S) is None
    consumer.announce(Abilities(runs))


def test_stand_in_is_that_of_the_live_workers(queue: JobQueue) -> None:
    assert queue.fleet().stand_in("htdemucs") is None
    announce(queue, "w1", STARTER_ONLY)
    assert queue.fleet().stand_in("htdemucs") == "starter"
    assert queue.fleet().stand_in("starter") is None
    assert queue.fleet().stand_in("mdx") is None


def test_stand_in_is_known_after_days_without_workers(bench: QueueBench) -> None:
    announce(bench.queue, "w1", STARTER_ONLY)
    for _ in range(3):
        bench.pass_time(DAY_S)
        bench.queue.reap()
    assert bench.queue.depth().workers == 0
    assert bench.queue.fleet().stand_in("htdemucs") == "starter"


def test_worker_that_found_the_model_ends_its_stand_in(queue: JobQueue) -> None:
    announce(queue, "w1", STARTER_ONLY)
    announce(queue, "w1", BOTH)
    assert queue.fleet().stand_in("htdemucs") is None


def test_new_worker_replaces_what_dead_ones_announced(bench: QueueBench) -> None:
    announce(bench.queue, "old", STARTER_ONLY)
    bench.pass_time(POLICY.lease_s + 1)
    announce(bench.queue, "new", BOTH)
    bench.pass_time(POLICY.lease_s + 1)
    assert bench.queue.fleet().stand_in("htdemucs") is None


def test_old_worker_of_a_rolling_update_cannot_bring_the_stand_in_back(queue: JobQueue) -> None:
    announce(queue, "old", STARTER_ONLY)
    announce(queue, "new", BOTH)
    announce(queue, "old", STARTER_ONLY)
    assert queue.fleet().stand_in("htdemucs") is None


def test_dead_worker_with_the_model_does_not_count_beside_a_live_one(bench: QueueBench) -> None:
    announce(bench.queue, "dead", BOTH)
    bench.pass_time(POLICY.lease_s + 1)
    announce(bench.queue, "alive", STARTER_ONLY)
    assert bench.queue.fleet().stand_in("htdemucs") == "starter"
    bench.pass_time(POLICY.lease_s + 1)
    assert bench.queue.fleet().stand_in("htdemucs") == "starter"


def test_stopped_worker_leaves_its_stand_in(bench: QueueBench) -> None:
    consumer = bench.queue.consumer("w1")
    consumer.take(timeout_s=AT_ONCE_S)
    consumer.announce(Abilities(STARTER_ONLY))
    consumer.deregister()
    bench.pass_time(DAY_S)
    assert bench.queue.fleet().stand_in("htdemucs") == "starter"


def test_worker_without_any_model_announces_nothing(queue: JobQueue) -> None:
    announce(queue, "w1", {})
    announce(queue, "w2", STARTER_ONLY)
    assert queue.fleet().stand_in("htdemucs") == "starter"
