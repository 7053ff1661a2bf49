"""Receivers that refuse, hang, redirect, drip and flood, and URLs that lead into private networks."""

import ipaddress
import itertools
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import psutil
import pytest
from standardwebhooks.webhooks import Webhook

from msaas.jobs import Callback, Job, JobState
from msaas.queue.redis.clients import RedisAddress
from msaas.queue.redis.outbox import RedisOutbox
from msaas.webhooks.dispatcher import Dispatcher
from msaas.webhooks.sender import CallbackRefused, post
from msaas.webhooks.ssrf_guard import is_allowed
from tests.faults.songs import song
from tests.receiver import Receiver, drip, silence, status
from tests.servers import free_port, wait_until
from tests.system import System, patiently
from tests.worker_pool import WorkerPool

Figure = Callable[[str], None]
ATTEMPT_S = 15.0
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVERYWHERE = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))


@pytest.fixture
def outbox(redis_address: RedisAddress) -> RedisOutbox:
    return RedisOutbox(redis_address)


def dispatcher_of(outbox: RedisOutbox, *, attempt_s: float = ATTEMPT_S) -> Dispatcher:
    send = partial(post, private=EVERYWHERE, attempt_s=attempt_s)
    return Dispatcher(outbox=outbox, send=send, secret=SECRET, backoff_s=(0.05, 0.1, 0.2))


def deliver_until_ended(outbox: RedisOutbox) -> str:
    """Make attempts until the delivery has ended; return its state."""
    dispatcher = dispatcher_of(outbox)
    wait_until(lambda: not dispatcher.deliver_next() and has_ended(outbox))
    return outbox.deliveries("song")[0].state


def has_ended(outbox: RedisOutbox) -> bool:
    return outbox.deliveries("song")[0].state in ("delivered", "refused", "dead")


@pytest.mark.fault("W1")
def test_callback_is_delivered_after_three_failures_under_one_id(
    outbox: RedisOutbox, receiver: Receiver, figure: Figure
) -> None:
    receiver.answers = [status(500), status(503), status(429), status(204)]
    added = outbox.add(Callback(receiver.url, {"to": "back"}), job_id="song")
    assert deliver_until_ended(outbox) == "delivered"
    assert len(receiver.received) == 4
    assert {each.headers["webhook-id"] for each in receiver.received} == {added}
    for each in receiver.received:
        assert Webhook(SECRET).verify(each.body, each.headers) == {"to": "back"}
    figure("500, 503, 429, 204: delivered at the 4th attempt, one id")


@pytest.mark.fault("W1")
def test_callback_to_a_closed_port_is_dead_after_all_attempts(outbox: RedisOutbox, figure: Figure) -> None:
    outbox.add(Callback(f"http://127.0.0.1:{free_port()}/"), job_id="song")
    assert deliver_until_ended(outbox) == "dead"
    assert outbox.deliveries("song")[0].attempts == 4
    figure("closed port: dead after all attempts")


@pytest.mark.fault("W1")
@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirect_is_a_failure_and_is_not_followed(
    outbox: RedisOutbox, receiver: Receiver, code: int
) -> None:
    with Receiver() as elsewhere:
        receiver.answers = [status(code, Location=elsewhere.url)]
        outbox.add(Callback(receiver.url), job_id="song")
        assert deliver_until_ended(outbox) == "dead"
        assert elsewhere.received == []


@pytest.mark.fault("W1")
def test_few_kilobytes_of_a_gigabyte_are_read(
    outbox: RedisOutbox, receiver: Receiver, figure: Figure
) -> None:
    receiver.answers = [receiver.flood]
    outbox.add(Callback(receiver.url), job_id="song")
    assert deliver_until_ended(outbox) == "delivered"
    wait_until(lambda: receiver.ended)
    # The buffers of the kernel took the rest.
    assert receiver.sent_bytes < 16 * 2**20
    figure(f"1 GiB answer: {receiver.sent_bytes / 2**20:.1f} MiB left the process of the receiver")


@pytest.mark.chaos
@pytest.mark.fault("W1")
@pytest.mark.parametrize("answer", [silence, drip], ids=["hangs", "drips"])
def test_attempt_takes_15_s_at_most(
    outbox: RedisOutbox, receiver: Receiver, figure: Figure, answer: Any
) -> None:
    receiver.answers = [answer]
    outbox.add(Callback(receiver.url), job_id="song")
    began = time.monotonic()
    assert dispatcher_of(outbox).deliver_next()
    took_s = time.monotonic() - began
    assert took_s <= ATTEMPT_S + 1
    assert outbox.deliveries("song")[0].state == "pending"
    figure(f"{answer.__name__}: stopped after {took_s:.1f} s")


@pytest.mark.fault("W1")
@pytest.mark.parametrize("answer", [silence, drip], ids=["hangs", "drips"])
def test_attempt_ends_with_its_time(outbox: RedisOutbox, receiver: Receiver, answer: Any) -> None:
    receiver.answers = [answer]
    outbox.add(Callback(receiver.url), job_id="song")
    began = time.monotonic()
    assert dispatcher_of(outbox, attempt_s=0.5).deliver_next()
    assert time.monotonic() - began < 4
    assert outbox.deliveries("song")[0].state == "pending"


#: Private IPv4 addresses, in the forms that resolvers take.
PRIVATE_V4 = [
    *("127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "2130706433", "0x7f000001", "0x7f.0.0.1"),
    *("0177.0.0.1", "017700000001", "0", "0.0.0.0"),
    *("10.0.0.1", "10.255.255.255", "167772161", "012.0.0.1", "0xa.0.0.1"),
    *("172.16.0.1", "172.31.255.255", "0xac100001"),
    *("192.168.0.1", "192.168.257", "3232235777", "0xc0a80101"),
    *("100.64.0.1", "100.127.255.255", "1681915905"),
    *("168.63.129.16", "0xa83f8110", "100.100.100.200", "169.254.170.2", "169.254.0.23", "192.0.0.192"),
    *("169.254.169.254", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376"),
    *("192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("localhost", "LOCALHOST"),
    *("user@127.0.0.1", "user:secret@127.0.0.1", "example.com@127.0.0.1", "example.com:80@127.0.0.1:8080"),
]
PRIVATE_V6 = [
    *("::1", "::", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"),
    *("::127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1"),
    *("2002:7f00:1::", "2002:a00:1::1", "2002:c0a8:101::1", "2001:0:7f00:1::"),
    *(
        "fe80::1",
        "fec0::1",
        "fc00::1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "::ffff:168.63.129.16",
        "64:ff9b::a83f:8110",
        "ff02::1",
        "2001:db8::1",
        "100::1",
    ),
]
PRIVATE = [f"http://{host}/" for host in PRIVATE_V4] + [f"http://[{host}]:8080/" for host in PRIVATE_V6]
PUBLIC = [
    *("1.1.1.1", "8.8.8.8", "93.184.216.34", "151.101.1.140", "172.15.255.255", "172.32.0.1"),
    *("192.169.0.1", "100.63.255.255", "100.128.0.1", "11.0.0.1"),
    *("2606:4700::1111", "2a00:1450:4001::200e", "::ffff:8.8.8.8", "64:ff9b::808:808"),
]


@pytest.fixture
def connected_to(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every address that this thread tries to connect to; each try fails."""
    addresses: list[Any] = []
    thread, connect_really = threading.get_ident(), socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if threading.get_ident() != thread:
            return connect_really(self, address)
        addresses.append(address)
        raise OSError("this test has no network")

    monkeypatch.setattr(socket.socket, "connect", connect)
    return addresses


@pytest.mark.fault("W2")
def test_private_addresses_are_refused_and_public_ones_allowed(
    connected_to: list[Any], figure: Figure
) -> None:
    assert [url for url in PRIVATE if not is_refused(url)] == []
    assert connected_to == []
    assert len(PRIVATE) >= 60
    assert [address for address in PUBLIC if not is_allowed(ipaddress.ip_address(address), ())] == []
    figure(
        f"{len(PRIVATE)}/{len(PRIVATE)} refused before a packet was sent, {len(PUBLIC)} public ones allowed"
    )


def is_refused(url: str) -> bool:
    try:
        post(url, b"{}")
    except CallbackRefused:
        return True
    except Exception as error:
        print(url, repr(error))
    return False


@pytest.mark.fault("W2")
def test_rebinding_resolver_is_asked_once(
    connected_to: list[Any], monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    answers = itertools.cycle(["93.184.216.34", "127.0.0.1"])

    def rebinding(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with pytest.raises(Exception, match="ConnectionError"):
        post("http://rebinding.example/", b"{}")
    assert connected_to == [("93.184.216.34", 80)]
    figure("rebinding: the connection goes to the checked address")


@pytest.mark.fault("W2")
def test_name_with_one_private_address_is_refused(
    connected_to: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def both(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in ("93.184.216.34", "10.0.0.1")
        ]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    assert is_refused("http://both.example/")
    assert connected_to == []


@pytest.mark.fault("T12")
@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("metadata.google.internal", "169.254.169.254"),
        ("metadata.azure.internal", "168.63.129.16"),
        ("metadata.tencentyun.com", "169.254.0.23"),
        ("100-100-100-200.example", "100.100.100.200"),
        ("instance-data.ec2.internal", "fd00:ec2::254"),
    ],
)
def test_name_of_a_cloud_platform_is_refused(
    connected_to: list[Any], monkeypatch: pytest.MonkeyPatch, name: str, address: str
) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, port, *_, **__: [(family, socket.SOCK_STREAM, 6, "", (address, port))],
    )
    assert is_refused(f"http://{name}/")
    assert connected_to == []


#: The number of jobs with a dead receiver.
JOBS = int(os.environ.get("SOAK_JOBS", "1000"))
BATCH_JOBS = 20
#: Batches with such a receiver between two without.
DEAD_IN_A_ROW = 4


@dataclass(frozen=True)
class Cost:
    """CPU time of the worker and wall time of a batch, in s."""

    cpu_s: float
    wall_s: float


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.fault("W3")
def test_dead_receiver_slows_no_job(
    system: System, pool: WorkerPool, receiver: Receiver, figure: Figure
) -> None:
    """Batches with and without a dead receiver, in turn.

    Other processes of the machine do not change the CPU time of the worker. A job that waits costs wall time
    only, 10 s a callback.
    """
    receiver.answers = [silence]
    pool.start_keeper()
    worker = psutil.Process(pool.start().process.pid)
    numbers = itertools.count()
    dead, none = Callback(receiver.url, {"n": 1}), None
    with_it, without = [], [run_batch(system, worker, numbers, none)]
    while len(with_it) * BATCH_JOBS < JOBS:
        with_it += [run_batch(system, worker, numbers, dead) for _ in range(DEAD_IN_A_ROW)]
        without.append(run_batch(system, worker, numbers, none))
    assert receiver.received
    cpu = slowdown([each.cpu_s for each in with_it], [each.cpu_s for each in without])
    wall = slowdown([each.wall_s for each in with_it], [each.wall_s for each in without])
    dead_jobs, jobs = len(with_it) * BATCH_JOBS, next(numbers)
    figure(f"{dead_jobs} of {jobs} jobs with a receiver that hangs: {cpu:+.1%} of CPU, {wall:+.1%} of time")
    assert cpu <= 0.05
    assert wall <= 0.25


def slowdown(with_it: list[float], without: list[float]) -> float:
    return median(with_it) / median(without) - 1


def run_batch(
    system: System, worker: psutil.Process, numbers: Iterator[int], callback: Callback | None
) -> Cost:
    ids = [system.put(song(next(numbers), seconds=0.5)) for _ in range(BATCH_JOBS)]
    began_s = sum(worker.cpu_times()[:4])
    for job_id in ids:
        patiently(lambda job_id=job_id: system.queue.enqueue(Job(job_id=job_id, callback=callback)))
    statuses = system.wait_for_ends(*ids, timeout_s=300)
    assert {each.state for each in statuses} == {JobState.DONE}
    took_s = max(each.finished_at or 0 for each in statuses) - min(each.started_at or 0 for each in statuses)
    return Cost(sum(worker.cpu_times()[:4]) - began_s, took_s)
