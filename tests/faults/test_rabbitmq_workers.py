"""Workers without a store: songs of a real RabbitMQ, results to a backend, processes that are killed."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pika
import pytest

from common.tests.song_benches import answers
from msaas.errors import QueueUnavailable
from msaas.queue.rabbitmq.address import BrokerAddress
from msaas.queue.rabbitmq.publishing import REASON
from msaas.queue.rabbitmq.songs import RabbitSongQueue
from msaas.queue.rabbitmq.topology import Topology
from msaas.songs import song_hash
from msaas_worker.attempt import Step
from tests.backend import TOKEN, Backend, cut, status
from tests.faults.fault_injector import Damage, Injection, as_settings
from tests.faults.songs import TUNES, song
from tests.servers import RabbitServer, free_port, rabbit_running, wait_until
from tests.tcp_proxy import TcpProxy
from tests.worker_pool import WorkerPool, open_pool

Figure = Callable[[str], None]
Reference = dict[int, dict[str, bytes]]
pytestmark = pytest.mark.timeout(900)

QUORUM = {"x-queue-type": "quorum", "x-delivery-limit": 20}
QUICK_UPLOADS = json.dumps({"first_upload_delay_s": 0.1, "max_upload_delay_s": 0.5})


@dataclass
class SongSystem:
    """A broker, a backend and the environment of a worker between them."""

    rabbit: RabbitServer
    backend: Backend
    arguments: dict[str, Any] = field(default_factory=dict)
    queue: RabbitSongQueue = field(init=False)
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.queue = RabbitSongQueue(self.rabbit.address, topology=self.topology)
        wait_until(lambda: answers(self.queue))
        self.environment = {
            "BROKER_ADDR": self.rabbit.addr,
            "BROKER_QUEUE_ARGUMENTS": json.dumps(self.arguments) if self.arguments else "",
            "BACKEND_ADDR": self.backend.url,
            "WORKER_TOKEN": TOKEN,
            "SOURCE_POLICY": QUICK_UPLOADS,
        }

    @property
    def topology(self) -> Topology:
        return Topology(arguments=self.arguments)

    def send(self, mp3: bytes) -> str:
        """Publish a song; return its hash."""
        name = song_hash(mp3)

        def is_sent() -> bool:
            try:
                self.queue.publish(name, mp3)
            except QueueUnavailable:
                return False
            return True

        wait_until(is_sent)
        return name

    def wait_for(self, *names: str, timeout_s: float = 240.0) -> None:
        wait_until(lambda: set(names) <= set(self.backend.songs), timeout_s=timeout_s)

    def dead(self) -> dict[str, str]:
        """Return the reason of each song in the dead-letter queue."""
        found = {}
        with self.rabbit.client() as client:
            channel = client.channel()
            while True:
                method, properties, _ = channel.basic_get("vocalizer_queue.dead")
                if method is None:
                    return found
                found[properties.message_id] = properties.headers[REASON]

    def assert_stored(self, names: list[str], reference: Reference) -> None:
        """Each song was stored, and each time as in a run without faults. Nothing is left in the broker."""
        for number, name in enumerate(names):
            assert self.backend.songs[name], name
            assert all(stems == reference[number % TUNES] for stems in self.backend.songs[name])
        assert self.dead() == {}
        # A held song of a worker that was killed may come back although it is done.
        wait_until(lambda: self.left() == 0, timeout_s=60)

    def left(self) -> int:
        """Return the number of messages in the queue of songs, delivered or not."""
        lines = self.rabbit.control("list_queues", "name", "messages", "--formatter", "json")
        return sum(each["messages"] for each in json.loads(lines) if each["name"] != "vocalizer_queue.dead")


@contextmanager
def open_song_system(rabbit: RabbitServer, arguments: dict[str, Any] | None = None) -> Iterator[SongSystem]:
    with Backend() as backend:
        system = SongSystem(rabbit, backend, arguments or {})
        try:
            yield system
        finally:
            system.queue.close()


@pytest.fixture(params=["classic", "quorum"])
def system(request: pytest.FixtureRequest, own_rabbit: RabbitServer) -> Iterator[SongSystem]:
    with open_song_system(own_rabbit, QUORUM if request.param == "quorum" else None) as system:
        yield system


@pytest.fixture
def classic(own_rabbit: RabbitServer) -> Iterator[SongSystem]:
    with open_song_system(own_rabbit) as system:
        yield system


@pytest.fixture
def song_pool(classic: SongSystem, tmp_path: Path) -> Iterator[WorkerPool]:
    with open_pool(classic, tmp_path / "pool") as pool:
        yield pool


# B1


def survive_random_kills(
    system: SongSystem, pool: WorkerPool, reference: Reference, *, songs: int, workers: int
) -> str:
    names = [system.send(song(number)) for number in range(songs)]
    began = time.monotonic()
    # A kill counts as an attempt: chance must not use up the attempts of a good song.
    pool.keep(workers, ENGINE_PACE="1", MAX_ATTEMPTS="50")
    kills = pool.kill_busy(kills=songs // 4, until=lambda: set(names) <= set(system.backend.songs))
    system.wait_for(*names, timeout_s=60 + 6 * songs)
    took_s = time.monotonic() - began
    system.assert_stored(names, reference)
    pool.stop_keeping()
    assert kills == songs // 4
    twice = sum(len(stored) - 1 for stored in system.backend.songs.values())
    return f"{songs}/{songs} done in {took_s:.0f} s, {kills} kills, {twice} uploaded twice"


@pytest.mark.fault("B1")
def test_random_kills_lose_no_song(
    system: SongSystem, reference: Reference, tmp_path: Path, figure: Figure
) -> None:
    with open_pool(system, tmp_path / "pool") as pool:
        figure(survive_random_kills(system, pool, reference, songs=8, workers=2))


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.fault("B1")
def test_random_kills_lose_none_of_200_songs(
    system: SongSystem, reference: Reference, tmp_path: Path, figure: Figure
) -> None:
    with open_pool(system, tmp_path / "pool") as pool:
        figure(survive_random_kills(system, pool, reference, songs=200, workers=3))


KILLED_AT = [
    (Step.CLAIMED, 1),
    (Step.SONG_FETCHED, 1),
    (Step.SONG_DECODED, 1),
    (Step.SONG_SEPARATED, 1),
    (Step.STEM_STORED, 4),
    (Step.RESULT_UPLOADED, 1),
    (Step.FINISHED, 1),
]


@pytest.mark.fault("B1")
def test_kill_after_any_step_loses_no_song(
    system: SongSystem, reference: Reference, tmp_path: Path, figure: Figure
) -> None:
    names = [system.send(song(number)) for number in range(len(KILLED_AT))]
    faults = [
        Injection(Damage.KILL, step, number, name)
        for (step, number), name in zip(KILLED_AT, names, strict=True)
    ]
    met = tmp_path / "met"
    met.mkdir()
    with open_pool(system, tmp_path / "pool") as pool:
        pool.keep(2, MAX_ATTEMPTS="10", **as_settings(*faults, met=met))
        system.wait_for(*names)
        wait_until(lambda: len(list(met.iterdir())) == len(faults), timeout_s=120)
        system.assert_stored(names, reference)
    # The kill between the upload and the acknowledgement is seen by the backend alone.
    assert len(system.backend.songs[names[KILLED_AT.index((Step.RESULT_UPLOADED, 1))]]) == 2
    figure(f"{len(faults)} points, 0 lost, 0 wrong")


# B2


@pytest.mark.fault("B2")
@pytest.mark.parametrize("hold_s", ["600", "0.3"], ids=["delivered", "held"])
def test_killed_broker_ends_the_work_and_the_song_is_done_later(
    classic: SongSystem, song_pool: WorkerPool, reference: Reference, figure: Figure, hold_s: str
) -> None:
    name = classic.send(song())
    worker = song_pool.start(ENGINE_PACE="20", BROKER_HOLD_SECONDS=hold_s)
    worker.wait_for_event("song_decoded", job_id=name)
    if hold_s != "600":
        worker.wait_for_event("song_held", job_id=name)
    classic.rabbit.kill()
    began = time.monotonic()
    worker.wait_for_event("lease_lost", job_id=name, timeout_s=30)
    stopped_s = time.monotonic() - began
    assert not classic.backend.uploads
    worker.kill()
    classic.rabbit.start()
    song_pool.start().wait_for_event("job_finished", job_id=name)
    classic.assert_stored([name], reference)
    # A broker that is killed may forget the acknowledgement of the song that a copy replaced.
    assert len(classic.backend.uploads) <= (1 if hold_s == "600" else 2)
    figure(f"work stopped {stopped_s:.1f} s after the kill, in segments of 5 s")


@pytest.mark.fault("B2")
def test_worker_continues_by_itself_when_the_broker_is_back(
    classic: SongSystem, song_pool: WorkerPool, reference: Reference
) -> None:
    worker = song_pool.start(ENGINE_PACE="2")
    names = [classic.send(song(0))]
    worker.wait_for_event("song_decoded", job_id=names[0])
    classic.rabbit.kill()
    worker.wait_for_event("lease_lost", job_id=names[0])
    classic.rabbit.start()
    names.append(classic.send(song(1)))
    classic.wait_for(*names)
    classic.assert_stored(names, reference)


@pytest.mark.fault("B2")
def test_worker_whose_network_is_cut_uploads_nothing(
    classic: SongSystem, song_pool: WorkerPool, reference: Reference, figure: Figure
) -> None:
    """The song is at another worker before the first one has ended."""
    proxy = TcpProxy("127.0.0.1", classic.rabbit.port)
    name = classic.send(song())
    cut_off = song_pool.start(ENGINE_PACE="20", BROKER_ADDR=proxy.address)
    cut_off.wait_for_event("song_decoded", job_id=name)
    proxy.refuse()
    began = time.monotonic()
    other = song_pool.start()
    other.wait_for_event("job_finished", job_id=name)
    cut_off.wait_for_event("lease_lost", job_id=name)
    figure(f"done by another worker {time.monotonic() - began:.1f} s after the cut")
    classic.assert_stored([name], reference)
    assert len(classic.backend.uploads) == 1
    proxy.close()


# B3


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[SongSystem]:
    """A broker that waits 5 s for an acknowledgement."""
    with rabbit_running(tmp_path / "rabbit", settings=["consumer_timeout = 5000"], tick_s=1.0) as rabbit:
        with open_song_system(rabbit) as system:
            yield system


@pytest.mark.fault("B3")
@pytest.mark.parametrize(("hold_s", "attempts"), [("1.5", 1), ("600", 2)], ids=["set", "learned"])
def test_song_that_takes_longer_than_the_broker_waits_is_done(
    impatient: SongSystem,
    reference: Reference,
    tmp_path: Path,
    figure: Figure,
    hold_s: str,
    attempts: int,
) -> None:
    name = impatient.send(song())
    with open_pool(impatient, tmp_path / "pool") as pool:
        worker = pool.start(ENGINE_PACE="30", BROKER_HOLD_SECONDS=hold_s)
        began = time.monotonic()
        worker.wait_for_event("job_finished", job_id=name)
        figure(f"hold every {hold_s} s: done in {time.monotonic() - began:.0f} s, {attempts} attempts")
        assert len(worker.events("job_claimed", job_id=name)) == attempts
        assert len(worker.events("acknowledgement_timed_out")) == attempts - 1
        impatient.assert_stored([name], reference)


# B4


@pytest.mark.fault("B4")
@pytest.mark.parametrize("songs", [4, pytest.param(20, marks=pytest.mark.chaos)])
def test_poison_message_is_dead_after_three_workers_and_good_songs_are_done(
    system: SongSystem, reference: Reference, tmp_path: Path, figure: Figure, songs: int
) -> None:
    poison = song(99)
    name = song_hash(poison)
    names = [system.send(song(number)) for number in range(songs // 2)]
    system.send(poison)
    names += [system.send(song(number)) for number in range(songs // 2, songs)]
    with open_pool(system, tmp_path / "pool") as pool:
        pool.keep(2, **as_settings(Injection(Damage.KILL, Step.SONG_DECODED, job_id=name)))
        system.wait_for(*names)
        wait_until(lambda: system.rabbit.ready("vocalizer_queue.dead"), timeout_s=120)
        pool.stop_keeping()
        workers = sum(bool(each.events("song_decoded", job_id=name)) for each in pool.workers)
    dead = system.dead()
    assert list(dead) == [name]
    assert dead[name].startswith("attempts_exhausted: Stopped after 3 attempts")
    assert workers == 3
    assert name not in system.backend.songs
    assert all(
        stems == reference[number % TUNES]
        for number, each in enumerate(names)
        for stems in system.backend.songs[each]
    )
    figure(f"dead after {workers} workers, {songs}/{songs} others done")


@pytest.mark.fault("B4")
def test_messages_that_are_no_songs_are_dead_lettered_at_once(
    classic: SongSystem, song_pool: WorkerPool, reference: Reference, figure: Figure
) -> None:
    bad = {
        "0" * 64: (song(1), "song_damaged: "),
        song_hash(b"noise"): (b"noise", "undecodable_song: "),
        song_hash(b""): (b"", "undecodable_song: "),
        "../../etc/passwd": (song(1), "invalid_id: "),
    }
    with classic.rabbit.client() as client:
        channel = client.channel()
        for name, (body, _) in bad.items():
            channel.basic_publish(
                "", "vocalizer_queue", body, properties=pika.BasicProperties(message_id=name)
            )
    good = classic.send(song())
    worker = song_pool.start()
    classic.wait_for(good)
    dead = classic.dead()
    assert set(dead) == set(bad)
    assert all(dead[name].startswith(reason) for name, (_, reason) in bad.items())
    assert len(worker.events("job_claimed")) == len(bad) + 1
    assert classic.backend.songs[good] == [reference[0]]
    figure(f"{len(bad)} of {len(bad)} at once")


# B7


@pytest.mark.fault("B7")
def test_backend_that_fails_gets_the_result_later(
    classic: SongSystem, song_pool: WorkerPool, reference: Reference, figure: Figure
) -> None:
    classic.backend.answers[:] = [status(500), status(503), cut, status(429)]
    name = classic.send(song())
    worker = song_pool.start()
    worker.wait_for_event("job_finished", job_id=name)
    classic.assert_stored([name], reference)
    assert len(classic.backend.uploads) == 5
    assert len(worker.events("song_separated", job_id=name)) == 1
    figure("4 failures, 1 separation")


@pytest.mark.fault("B7")
def test_song_waits_while_the_backend_is_down(
    classic: SongSystem, song_pool: WorkerPool, reference: Reference
) -> None:
    """Beyond the patience of the upload the song is separated again, without an attempt that counts."""
    name = classic.send(song())
    policy = {"first_upload_delay_s": 0.1, "max_upload_delay_s": 0.2, "upload_patience_s": 0.5}
    worker = song_pool.start(
        BACKEND_ADDR=f"http://127.0.0.1:{free_port()}", SOURCE_POLICY=json.dumps(policy), MAX_ATTEMPTS="1"
    )
    wait_until(lambda: len(worker.events("job_claimed", job_id=name)) >= 4)
    worker.terminate()
    song_pool.start()
    classic.wait_for(name)
    classic.assert_stored([name], reference)


@pytest.mark.fault("B7")
def test_refused_result_is_dead_lettered(classic: SongSystem, song_pool: WorkerPool) -> None:
    classic.backend.answers[:] = [status(404)]
    name = classic.send(song())
    song_pool.start()
    wait_until(lambda: classic.rabbit.ready("vocalizer_queue.dead"), timeout_s=60)
    assert classic.dead() == {name: "result_refused: The backend refused the result (HTTP 404): the reason"}


# The process


def test_sigterm_gives_the_song_back(
    classic: SongSystem, song_pool: WorkerPool, reference: Reference
) -> None:
    name = classic.send(song())
    worker = song_pool.start(ENGINE_PACE="60")
    worker.wait_for_event("song_decoded", job_id=name)
    assert worker.terminate() <= 5
    assert len(worker.events("job_released", job_id=name)) == 1
    assert not worker.events(level="warning")
    second = song_pool.start()
    second.wait_for_event("job_finished", job_id=name)
    assert [each["attempt"] for each in second.events("job_claimed")] == [1]
    classic.assert_stored([name], reference)


def test_worker_needs_neither_redis_nor_a_store(
    classic: SongSystem, song_pool: WorkerPool, reference: Reference
) -> None:
    """`BROKER_ADDR` decides. Settings of Redis and of the store are not read."""
    invalid = {
        "REDIS_PORT": "none",
        "MINIO_SECURE": "perhaps",
        "LEASE_SECONDS": "-1",
        "STORE_DIR": "/nowhere",
    }
    name = classic.send(song())
    song_pool.start(**invalid).wait_for_event("job_finished", job_id=name)
    classic.assert_stored([name], reference)


def test_no_line_has_a_secret(classic: SongSystem, song_pool: WorkerPool) -> None:
    name = classic.send(song())
    address = BrokerAddress.parse(classic.rabbit.addr)
    worker = song_pool.start(
        BROKER_ADDR=f"amqp://guest:guest@{address}",
        BACKEND_ADDR=classic.backend.url.replace("://", "://w:s3cret-pass@"),
        LOG_LEVEL="debug",
    )
    worker.wait_for_event("job_finished", job_id=name)
    worker.signal(signal.SIGTERM)
    worker.exit_code()
    assert not any(secret in worker.output() for secret in (TOKEN, "s3cret-pass", "guest:guest"))
