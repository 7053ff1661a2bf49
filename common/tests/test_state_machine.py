"""State machine: after any sequence of steps, every accepted job is in exactly one place, and ends."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from common.tests.backends import Clock, shift_times
from msaas.errors import (
    AttemptsExhausted,
    ClaimRefused,
    JobEnded,
    JobNotFound,
    LeaseLost,
    MalformedJob,
    NotYourRequest,
    QueueUnavailable,
)
from msaas.jobs import Callback, Job, JobError
from msaas.queue.consumer import Claim, Result
from msaas.queue.memory import InMemoryQueue
from msaas.queue.protocol import Cancellation, QueuePolicy, Request
from msaas.queue.redis.clients import RedisAddress, connect
from msaas.queue.redis.jobs import RedisQueue
from msaas.queue.redis.keys import Keys
from msaas.queue.redis.song_registry import RedisSongRegistry
from msaas.queue.song_registry import Visibility
from msaas.separations import Separation
from tests.servers import RedisServer
from tests.tcp_proxy import LoseReply, TcpProxy

POLICY = QueuePolicy(lease_s=60.0, max_attempts=3, max_dead=50)
KEYS = Keys()
SONGS = ["a" * 64, "b" * 64, "c" * 64]
#: No sum of these comes close to a lease or a delay.
STEPS_S = [26.0, 101.0]
DELAY_S = 30.0
RESULT = Result(model="htdemucs", device="cpu", stems=("drums", "bass", "other", "vocals"))
REQUESTS = [
    Request(id=name, owner=owner)
    for name, owner in (("r1", "ann"), ("r2", "ann"), ("r3", "bob"), ("r4", "user:1"))
]
CANCELLATIONS = [
    Cancellation(owner="ann"),
    Cancellation(owner="ann", request_id="r1"),
    Cancellation(owner="bob"),
    Cancellation(owner="eve", request_id="r3"),
    Cancellation(owner="root", request_id="r3", any_owner=True),
    Cancellation(owner="root", request_id="r4", any_owner=True),
    Cancellation(owner="user:1", request_id="r4"),
    Cancellation(owner="root", any_owner=True, all_requests=True),
    Cancellation(owner="root", any_owner=True, all_requests=True, with_accounts=True),
]
#: The result was in the store before the job.
FOUND = replace(RESULT, device="")
OOPS = JobError("separation_failed", "The separation failed.", "oops")

Outcome = tuple[str, Any]
REFUSALS = (AttemptsExhausted, ClaimRefused, JobEnded, JobNotFound, LeaseLost, NotYourRequest)


@dataclass(eq=False)
class Worker:
    """One worker, at the real queue and at its twin."""

    name: str
    real: Any
    twin: Any
    #: The entry that it took and has not claimed.
    payload: bytes | None = None


@dataclass(eq=False)
class Lease:
    worker: Worker
    real: Claim
    twin: Claim


def outcome(call: Callable[[], Any]) -> Outcome:
    try:
        return "answered", call()
    except REFUSALS as refusal:
        return type(refusal).__name__, refusal.detail


class QueueMachine(RuleBasedStateMachine):
    """Does the same to the queue on a real server and to its in-memory twin, which must agree."""

    wires: ClassVar["Wires"]
    real: ClassVar[RedisQueue]
    real_registry: ClassVar[RedisSongRegistry]
    raw: ClassVar[Any]

    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.raw.flushall()
        self.clock = Clock()
        self.twin = InMemoryQueue(policy=POLICY, clock=self.clock)
        self.names: list[str] = []
        self.workers: list[Worker] = []
        self.accepted: set[str] = set()
        self.pushed: Counter[str] = Counter()

    # Steps of clients

    @rule(
        song=st.sampled_from(SONGS),
        callback=st.booleans(),
        sender=st.sampled_from(REQUESTS),
        lost=st.booleans(),
    )
    def enqueue(self, song: str, callback: bool, sender: Request, lost: bool) -> None:
        job = Job(
            job_id=song, callback=Callback("http://localhost:5000", data={"n": 1}) if callback else None
        )
        real = self.ask(lambda: self.real.enqueue(job, request=sender), lost=lost)
        twin = outcome(lambda: self.twin.enqueue(job, request=sender))
        assert real in (twin, LOST)
        self.accepted.add(song)

    @rule(song=st.sampled_from(SONGS), which=st.sampled_from(CANCELLATIONS), lost=st.booleans())
    def cancel(self, song: str, which: Cancellation, lost: bool) -> None:
        real = self.ask(lambda: self.real.cancel(song, which), lost=lost)
        twin = outcome(lambda: self.twin.cancel(song, which))
        assert real in (twin, LOST)

    @rule(song=st.sampled_from(SONGS), form=st.sampled_from(['"{}"', '{{"hash": "{}"}}', "{}"]))
    def push_by_hand(self, song: str, form: str) -> None:
        payload = form.format(song).encode()
        self.raw.lpush(KEYS.waiting, payload)
        self.twin.push(payload)
        self.accepted.add(song)
        self.pushed[song] += 1

    @rule(payload=st.sampled_from([b"", b"{", b"[]", b"\xff\xfe", b'{"songhash": 1}']))
    def push_an_invalid_entry(self, payload: bytes) -> None:
        self.raw.lpush(KEYS.waiting, payload)
        self.twin.push(payload)

    @rule(
        song=st.sampled_from(SONGS),
        visibility=st.sampled_from([None, *Visibility]),
        is_stored=st.booleans(),
        lost=st.booleans(),
    )
    def request_song(self, song: str, visibility: Visibility | None, is_stored: bool, lost: bool) -> None:
        facts: dict[str, Any] = {"visibility": visibility, "is_stored": is_stored}
        real = self.ask(lambda: self.real_registry.request_song(song, **facts), lost=lost)
        twin = outcome(lambda: self.twin.registry.request_song(song, **facts))
        assert real in (twin, LOST)

    @rule(song=st.sampled_from(SONGS), ends=st.booleans(), lost=st.booleans())
    def remove_song(self, song: str, ends: bool, lost: bool) -> None:
        real = self.ask(lambda: self.real_registry.begin_removal(song), lost=lost)
        twin = outcome(lambda: self.twin.registry.begin_removal(song))
        assert real in (twin, LOST)
        if ends and twin == ("answered", True):
            self.real_registry.end_deletion(song)
            self.twin.registry.end_deletion(song)

    # Steps of workers

    @precondition(lambda self: len(self.workers) < 3)
    @rule()
    def start_a_worker(self) -> None:
        name = f"w{len(self.names)}"
        self.names.append(name)
        self.workers.append(Worker(name, self.real.consumer(name), self.twin.consumer(name)))

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), lost=st.booleans())
    def take(self, data: st.DataObject, lost: bool) -> None:
        worker = data.draw(st.sampled_from(self.workers))
        real = self.ask(lambda: worker.real.take(timeout_s=0.001), lost=lost)
        twin = outcome(lambda: worker.twin.take(timeout_s=0.0))
        assert real in (twin, LOST)
        worker.payload = twin[1] if real == twin else None

    @precondition(lambda self: any(worker.payload is not None for worker in self.workers))
    @rule(target=leases, data=st.data(), lost=st.booleans())
    def claim(self, data: st.DataObject, lost: bool) -> Any:
        worker = data.draw(st.sampled_from([each for each in self.workers if each.payload is not None]))
        payload, worker.payload = worker.payload or b"", None
        try:
            job = Job.decode(payload)
        except MalformedJob:
            self.ask(lambda: worker.real.dead_letter(payload, reason="malformed"), lost=lost)
            worker.twin.dead_letter(payload, reason="malformed")
            return multiple()
        last_token = worker.twin._last_token
        real = self.ask(lambda: worker.real.claim(job, payload=payload), lost=lost)
        twin = outcome(lambda: worker.twin.claim(job, payload=payload))
        if real == LOST:
            worker.twin._last_token = last_token
        if real == LOST or twin[0] != "answered":
            assert real in (twin, LOST)
            return multiple()
        facts = [(each.attempt, each.releases, each.is_first) for each in (real[1], twin[1])]
        assert facts[0] == facts[1]
        return Lease(worker, real=real[1], twin=twin[1])

    @rule(lease=leases, progress=st.floats(0, 1), device=st.sampled_from([None, "cuda"]))
    def renew(self, lease: Lease, progress: float, device: str | None) -> None:
        self.both(lease, "renew", progress=progress, device=device, lost=False)

    @rule(lease=leases, result=st.sampled_from([RESULT, FOUND]), lost=st.booleans())
    def finish(self, lease: Lease, result: Result, lost: bool) -> None:
        self.both(lease, "finish", result, lost=lost)

    @rule(lease=leases, lost=st.booleans())
    def fail(self, lease: Lease, lost: bool) -> None:
        self.both(lease, "fail", OOPS, lost=lost)

    @rule(lease=leases, lost=st.booleans())
    def retry(self, lease: Lease, lost: bool) -> None:
        self.both(lease, "retry", OOPS, lost=lost)

    @rule(lease=leases, delay_s=st.sampled_from([0.0, DELAY_S]), lost=st.booleans())
    def release(self, lease: Lease, delay_s: float, lost: bool) -> None:
        self.both(lease, "release", delay_s=delay_s, lost=lost)

    def both(self, lease: Lease, step: str, *args: Any, lost: bool, **kwargs: Any) -> None:
        before = self.everything()
        worker = lease.worker
        real = self.ask(lambda: getattr(worker.real, step)(lease.real, *args, **kwargs), lost=lost)
        twin = outcome(lambda: getattr(worker.twin, step)(lease.twin, *args, **kwargs))
        assert real in (twin, LOST)
        if twin[0] == "LeaseLost":
            assert self.everything() == before, "a stale token changed something"

    # Faults of workers

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        self.workers.remove(data.draw(st.sampled_from(self.workers)))

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), lost=st.booleans())
    def deregister(self, data: st.DataObject, lost: bool) -> None:
        worker = data.draw(st.sampled_from(self.workers))
        self.workers.remove(worker)
        self.ask(worker.real.deregister, lost=lost)
        worker.twin.deregister()

    @precondition(lambda self: self.ended_workers())
    @rule(data=st.data())
    def move_an_entry_to_an_ended_worker(self, data: st.DataObject) -> None:
        """A BLMOVE was in flight."""
        name = data.draw(st.sampled_from(self.ended_workers()))
        self.raw.lmove(KEYS.waiting, KEYS.processing(name), "RIGHT", "LEFT")
        if self.twin.entries:
            self.twin.processing[name].append(self.twin.entries.popleft())

    def ended_workers(self) -> list[str]:
        """Return the workers that took an entry at least once and have ended."""
        alive = {worker.name for worker in self.workers}
        return [name for name in self.twin.workers if name not in alive]

    @rule(seconds=st.sampled_from(STEPS_S))
    def time_passes(self, seconds: float) -> None:
        shift_times(self.raw, KEYS, seconds)
        self.clock.advance(seconds)

    @rule(lost=st.booleans())
    def reap(self, lost: bool) -> None:
        real = self.ask(self.real.reap, lost=lost)
        twin = outcome(self.twin.reap)
        assert real in (twin, LOST)

    # Invariants

    @invariant()
    def everything_is_consistent(self) -> None:
        real = self.everything()
        self.check_that_server_and_twin_are_equal(real)
        self.check_that_each_job_is_in_one_place(real)
        self.check_that_running_jobs_are_with_registered_workers(real)
        for job in real["jobs"].values():
            assert 0 <= int(job.get(b"attempts", 0)) <= POLICY.max_attempts

    def check_that_server_and_twin_are_equal(self, real: dict[str, Any]) -> None:
        twin = self.twin
        assert real["waiting"] == list(reversed(twin.entries))
        assert set(real["delayed"]) == set(twin.delayed)
        assert real["order"] == [
            job_id for job_id, _ in sorted(twin.line.order.items(), key=lambda item: item[1])
        ]
        assert {owner: turn for owner, turn in real["turns"].items() if turn and owner != "#"} == {
            owner: turn for owner, turn in twin.line.turns.items() if turn
        }
        assert real["requests"] == {
            song: {str(request) for request in twin.jobs[song].requests} if song in twin.jobs else set()
            for song in SONGS
        }
        assert {name: processing for name, processing in real["own"].items() if processing} == {
            name: list(reversed(processing)) for name, processing in twin.processing.items() if processing
        }
        assert [(letter["payload"], letter["reason"]) for letter in map(json.loads, real["dead"])] == [
            (letter["payload"], letter["reason"]) for letter in twin.dead_letters
        ]
        assert ends_of(real["history"]) == ends_of(twin.history.entries)
        assert real["private"] == twin.registry.private
        assert set(real["removals"]) == set(twin.registry.removal_times)
        assert {song: facts_of(job) for song, job in real["jobs"].items() if job} == {
            song: (
                record.status.state.value,
                record.status.attempts,
                record.releases,
                record.status.device or "",
            )
            for song, record in twin.jobs.items()
        }

    def check_that_each_job_is_in_one_place(self, real: dict[str, Any]) -> None:
        entries = [
            *real["waiting"],
            *real["delayed"],
            *(e for processing in real["own"].values() for e in processing),
        ]
        places = Counter(filter(None, map(id_of, entries)))
        for song in self.accepted:
            state = real["jobs"][song].get(b"state", b"queued")
            if self.pushed[song]:
                # Every entry pushed by hand may find the work done.
                assert places[song] <= 1 + self.pushed[song]
                assert places[song] or state in (b"done", b"failed", b"cancelled")
            else:
                assert places[song] == (state in (b"queued", b"running"))

    def check_that_running_jobs_are_with_registered_workers(self, real: dict[str, Any]) -> None:
        for job in real["jobs"].values():
            if job.get(b"state") == b"running":
                holder = job[b"worker"].decode()
                assert job[b"payload"] in real["own"][holder]
                assert real["claims"][holder][job[b"payload"]]
            else:
                assert b"token" not in job
        for name, processing in real["own"].items():
            assert not processing or name.encode() in real["workers"], "the reaper does not know this list"

    def teardown(self) -> None:
        """All workers die; one more worker brings every accepted job to its end."""
        shift_times(self.raw, KEYS, 2 * POLICY.lease_s)
        self.real.reap()
        last = self.real.consumer("last")
        while (payload := last.take(timeout_s=0.001)) is not None:
            try:
                last.finish(last.claim(Job.decode(payload), payload=payload), RESULT)
            except MalformedJob:
                last.dead_letter(payload, reason="malformed")
            except (AttemptsExhausted, ClaimRefused):
                continue
        depth = self.real.depth()
        assert (depth.waiting, depth.in_flight, depth.delayed) == (0, 0, 0)
        ended = {each.job_id for each in map(Separation.decode, self.everything()["history"])}
        for song in self.accepted:
            status = self.real.status(song)
            assert status is not None
            assert song in ended
            assert status.state.value in ("done", "failed", "cancelled"), status
            assert status.state.value != "failed" or status.error

    # Tools

    def ask(self, call: Callable[[], Any], *, lost: bool) -> Outcome:
        """Call one side of the real queue. With `lost`, the reply of the server is dropped."""
        if not lost:
            return outcome(call)
        with self.wires.losing_a_reply() as losing, pytest.raises(QueueUnavailable):
            call()
        assert losing.lost == 1
        return LOST

    def everything(self) -> dict[str, Any]:
        pipe = self.raw.pipeline(transaction=False)
        pipe.lrange(KEYS.waiting, 0, -1).zrange(KEYS.delayed, 0, -1).lrange(KEYS.dead, 0, -1)
        pipe.zrange(KEYS.workers, 0, -1)
        for name in self.names:
            pipe.lrange(KEYS.processing(name), 0, -1).hgetall(KEYS.claims(name))
        for song in SONGS:
            pipe.hgetall(KEYS.job(song)).smembers(KEYS.requests(song))
        pipe.zrange(KEYS.order, 0, -1).hgetall(KEYS.turns).lrange(KEYS.history, 0, -1)
        pipe.smembers(KEYS.private_songs).zrange(KEYS.removals, 0, -1)
        waiting, delayed, dead, workers, *rest, order, turns, history, private, removals = pipe.execute()
        lists, records = rest[: 2 * len(self.names)], rest[2 * len(self.names) :]
        jobs, requests = records[::2], records[1::2]
        return {
            "waiting": waiting,
            "delayed": delayed,
            "dead": dead,
            "workers": workers,
            "own": dict(zip(self.names, lists[::2], strict=True)),
            "claims": dict(zip(self.names, lists[1::2], strict=True)),
            "jobs": dict(zip(SONGS, jobs, strict=True)),
            "history": history,
            "private": {song.decode() for song in private},
            "removals": [song.decode() for song in removals],
            "order": [job_id.decode() for job_id in order],
            "turns": {owner.decode(): int(turn) for owner, turn in turns.items()},
            "requests": {
                song: {request.decode() for request in found}
                for song, found in zip(SONGS, requests, strict=True)
            },
        }


LOST: Outcome = ("lost", None)


class Wires:
    """Two ways to one server: direct, and through a proxy that drops a reply."""

    def __init__(self, server: RedisServer) -> None:
        self.proxy = TcpProxy("127.0.0.1", server.port)
        # A busy machine may answer late, and only replies that the test drops may be lost.
        self._lossy = connect(RedisAddress(self.proxy.host, self.proxy.port), timeout_s=20.0)
        self._is_lossy = False

    def connect(self, address: RedisAddress, *, timeout_s: float = 20.0) -> Any:
        """Implements `Connect`. Commands of the client take the way that is set when they are sent."""
        client = connect(address, timeout_s=max(timeout_s, 20.0))
        client.connection_pool = SwitchedPool(
            direct=client.connection_pool,
            lossy=self._lossy.connection_pool,
            is_lossy=lambda: self._is_lossy,
        )
        return client

    @contextmanager
    def losing_a_reply(self) -> Iterator[LoseReply]:
        self._is_lossy = True
        try:
            yield LoseReply(self.proxy, marker=b"EVALSHA")
        finally:
            self._is_lossy = False


class SwitchedPool:
    """Gives connections of one of two pools."""

    def __init__(
        self, *, direct: redis.ConnectionPool, lossy: redis.ConnectionPool, is_lossy: Callable[[], bool]
    ) -> None:
        self._direct, self._lossy, self._switch = direct, lossy, is_lossy

    def get_connection(self, *arguments: Any, **options: Any) -> Any:
        return self._current().get_connection(*arguments, **options)

    def release(self, connection: Any) -> None:
        self._current().release(connection)

    def _current(self) -> redis.ConnectionPool:
        return self._lossy if self._switch() else self._direct

    def __getattr__(self, name: str) -> Any:
        return getattr(self._direct, name)


def facts_of(job: dict[bytes, bytes]) -> tuple[str, int, int, str]:
    counts = int(job.get(b"attempts", 0)), int(job.get(b"give_backs", 0))
    return job[b"state"].decode(), *counts, job.get(b"device", b"").decode()


def ends_of(history: list[bytes]) -> list[Separation]:
    """Return the history without its times, which two clocks give."""
    ends = [Separation.decode(entry) for entry in history]
    assert len({each.event_id for each in ends}) == len(ends)
    return [replace(each, event_id="", queued_at=None, started_at=None, finished_at=0.0) for each in ends]


def id_of(payload: bytes) -> str | None:
    try:
        return Job.decode(payload).job_id
    except MalformedJob:
        return None


def run(server: RedisServer, *, sequences: int) -> None:
    wires = Wires(server)

    class Machine(QueueMachine):
        pass

    Machine.wires, Machine.raw = wires, server.client()
    Machine.real = RedisQueue(server.address, policy=POLICY, connect=wires.connect)
    Machine.real_registry = RedisSongRegistry(server.address, connect=wires.connect)
    try:
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=sequences,
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        wires.proxy.close()


@pytest.mark.fault("M")
@pytest.mark.parametrize("sequences", [50, pytest.param(200, marks=pytest.mark.long)])
def test_every_job_is_in_exactly_one_place(
    redis_server: RedisServer, sequences: int, figure: Callable[[str], None]
) -> None:
    run(redis_server, sequences=sequences)
    figure(f"{sequences} sequences")


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.fault("M")
def test_every_job_is_in_exactly_one_place_at_length(
    redis_server: RedisServer, figure: Callable[[str], None]
) -> None:
    run(redis_server, sequences=2000)
    figure("2,000 sequences of up to 30 steps")
