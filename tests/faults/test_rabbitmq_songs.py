"""Songs of the songs API that workers of RabbitMQ separate: the whole way, with a real `rest`, and kills."""

import json
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from rest.tests.service import Service, start_service
from rest.tests.songs_client import SongsClient
from worker.tests.songs import mp3 as encode_mp3
from worker.tests.test_rhythm import BACKBEAT, drums

from msaas.jobs import JobState
from msaas.songs import song_hash
from msaas_worker.attempt import Step
from tests.backend import TOKEN
from tests.faults.fault_injector import Damage, Injection, as_settings
from tests.faults.songs import TUNES, song
from tests.servers import RabbitServer, RedisServer, free_port, redis_running, wait_until
from tests.system import STEMS, open_system
from tests.worker_pool import WorkerPool, open_pool

Figure = Callable[[str], None]
Reference = dict[int, dict[str, bytes]]
pytestmark = pytest.mark.timeout(900)

QUICK_UPLOADS = json.dumps({"first_upload_delay_s": 0.1, "max_upload_delay_s": 0.5})
WORKER_TOKEN = TOKEN + "-of-workers"


@dataclass
class SongsSite:
    """`rest` with a broker, and the environment of a worker that has the broker and `rest` alone."""

    folder: Path
    redis: RedisServer
    rabbit: RabbitServer
    port: int = field(default_factory=free_port)
    environment: dict[str, str] = field(init=False)
    service: Service = field(init=False)

    def __post_init__(self) -> None:
        self.environment = {
            "BROKER_ADDR": self.rabbit.addr,
            "BACKEND_ADDR": f"http://worker:{WORKER_TOKEN}@127.0.0.1:{self.port}",
            "SOURCE_POLICY": QUICK_UPLOADS,
        }
        self.start()

    def start(self) -> None:
        (self.folder / "store").mkdir(exist_ok=True)
        self.service = start_service(
            self.folder,
            PORT=str(self.port),
            QUEUE="rabbitmq",
            BROKER_ADDR=self.rabbit.addr,
            WORKER_TOKEN=WORKER_TOKEN,
            REDIS_PORT=str(self.redis.port),
            STORE_DIR=str(self.folder / "store"),
            DATABASE_URL=f"sqlite:///{self.folder / 'catalogue.db'}",
        )

    def visit(self, name: str = "") -> SongsClient:
        client = SongsClient(service=self.service)
        if name:
            wait_until(lambda: client.register(name).status_code == 200)
        return client

    def upload(self, client: SongsClient, mp3: bytes) -> int:
        """Upload a song once the broker answers; return its id."""
        answers: list[requests.Response] = []

        def is_accepted() -> bool:
            answers.append(client.send(mp3, title="Morning"))
            assert answers[-1].status_code in (200, 503), answers[-1].text
            return answers[-1].status_code == 200

        wait_until(is_accepted)
        return int(answers[-1].json()["data"]["song"]["id"])

    def is_split(self, client: SongsClient, *ids: int) -> bool:
        try:
            return all(client.show(song_id)["status"] == "SPLIT" for song_id in ids)
        except (requests.ConnectionError, KeyError):  # `rest` is away, or says 503.
            return False

    def wait_for(self, client: SongsClient, *ids: int, timeout_s: float = 240.0) -> None:
        wait_until(lambda: self.is_split(client, *ids), timeout_s=timeout_s, every_s=0.1)

    def assert_split(self, client: SongsClient, songs: dict[int, int], reference: Reference) -> None:
        """Each song has the stems of a run without faults. Nothing is left in the broker."""
        for song_id, number in songs.items():
            for stem, mp3 in reference[number % TUNES].items():
                assert client.get(f"/songs/{song_id}/{stem}.mp3").content == mp3, (number, stem)
            assert client.get(f"/songs/{song_id}/song.mp3").content == song(number)
        # A held song of a worker that was killed may come back although it is done.
        wait_until(lambda: self.messages() == 0, timeout_s=60)

    def messages(self) -> int:
        """Return the number of messages in all queues, dead letters included."""
        lines = self.rabbit.control("list_queues", "messages", "--formatter", "json")
        return sum(each["messages"] for each in json.loads(lines))

    def results(self) -> set[str]:
        return {each.key for each in self.service.song_store.outputs()}


@pytest.fixture
def site(own_redis: RedisServer, own_rabbit: RabbitServer, tmp_path: Path) -> Iterator[SongsSite]:
    folder = tmp_path / "rest"
    folder.mkdir()
    site = SongsSite(folder, own_redis, own_rabbit)
    try:
        yield site
    finally:
        site.service.kill()


@pytest.fixture
def workers(site: SongsSite, tmp_path: Path) -> Iterator[WorkerPool]:
    with open_pool(site, tmp_path / "pool") as pool:
        yield pool


def test_uploaded_song_becomes_stems(site: SongsSite, workers: WorkerPool, reference: Reference) -> None:
    ann = site.visit("ann")
    song_id = site.upload(ann, song())
    assert ann.show(song_id)["status"] == "UPLOADED"
    workers.start()
    site.wait_for(ann, song_id)
    site.assert_split(ann, {song_id: 0}, reference)
    shown = ann.show(song_id, query="?fields=model,stems,progress")
    assert (shown["model"], shown["progress"]) == ("htdemucs", 1.0)
    manifest = site.service.song_store.whole_manifest(song_hash(song()))
    assert manifest is not None
    assert (manifest.weights_sha256, manifest.engine) == ("0" * 64, "quick 1.0")
    # The MP3 of half a second has the padding of its encoder.
    assert manifest.samples / manifest.samplerate == pytest.approx(0.55, abs=0.01)


def test_events_follow_a_song_of_the_broker(site: SongsSite, workers: WorkerPool) -> None:
    """A stream ends while the song waits. A client that connects again learns the end."""
    ann = site.visit("ann")
    song_id = site.upload(ann, song())

    def states() -> list[str]:
        with ann.get(f"/songs/{song_id}/events", stream=True, timeout=20) as answer:
            lines = [line.decode() for line in answer.iter_lines()]
        return [json.loads(line[6:])["state"] for line in lines if line.startswith("data: ")]

    assert states() == ["queued"]
    workers.start()
    site.wait_for(ann, song_id)
    assert states() == ["done"]


def test_song_of_two_users_is_separated_once(
    site: SongsSite, workers: WorkerPool, reference: Reference
) -> None:
    ann, bob = site.visit("ann"), site.visit("bob")
    ids = [site.upload(ann, song()), site.upload(bob, song())]
    workers.start(ENGINE_PACE="1")
    workers.start(ENGINE_PACE="1")
    site.wait_for(ann, ids[0])
    site.wait_for(bob, ids[1])
    site.assert_split(ann, {ids[0]: 0}, reference)
    site.assert_split(bob, {ids[1]: 0}, reference)
    assert len(workers.events("song_separated")) == 1


@dataclass(frozen=True)
class Measured:
    """Peaks by stem as numbers, and the analysis as JSON."""

    peaks: dict[str, list[int]]
    analysis: bytes


def measure_by_redis(mp3: bytes, folder: Path) -> Measured:
    """Return the peaks and the analysis that a worker of Redis stores for a song."""
    with redis_running(folder / "redis") as redis:
        system = open_system(folder, redis)
        with open_pool(system, folder / "pool") as pool:
            job_id = system.send(mp3)
            pool.start()
            assert system.wait_for_end(job_id).state is JobState.DONE
        store = system.song_store
        peaks = {stem: b"".join(store.open_peaks(job_id, stem)[0].chunks) for stem in STEMS}
        analysis = b"".join(store.open_analysis(job_id).chunks)
    return Measured({stem: array("b", found).tolist() for stem, found in peaks.items()}, analysis)


@pytest.mark.parametrize("killed_at", [None, Step.SONG_SEPARATED], ids=["first attempt", "second attempt"])
def test_peaks_and_analysis_are_those_of_a_worker_of_redis(
    site: SongsSite, workers: WorkerPool, tmp_path: Path, killed_at: Step | None
) -> None:
    """A second attempt has a copy of the message, with its header."""
    tune, met = encode_mp3(drums(120, BACKBEAT, seconds=12)), tmp_path / "met"
    met.mkdir()
    ann, bob = site.visit("ann"), site.visit("bob")
    song_id = site.upload(ann, tune)
    kills = [Injection(Damage.KILL, killed_at, 1, song_hash(tune))] if killed_at else []
    workers.keep(1, **as_settings(*kills, met=met))
    site.wait_for(ann, song_id)
    assert len(list(met.iterdir())) == len(kills)
    peaks, analysis = (ann.get(f"/songs/{song_id}/{name}.json") for name in ("peaks", "analysis"))
    reference = measure_by_redis(tune, tmp_path / "reference")
    assert peaks.json() == {"samples_per_pair": 512, "is_whole": True, "stems": reference.peaks}
    assert analysis.content == reference.analysis
    assert analysis.json()["tempo"]["bpm"] == pytest.approx(120, rel=0.01)
    for path in (f"/songs/{song_id}/{name}.json" for name in ("peaks", "analysis")):
        assert bob.get(path).status_code == 404
    for path in (f"/apiv1/job/{song_hash(tune)}/{name}" for name in ("peaks/bass", "analysis")):
        assert ann.get(path).status_code == 404
    assert ann.delete(song_id).status_code == 200
    assert site.results() == set()


def test_deleted_song_that_waits_leaves_nothing(site: SongsSite, workers: WorkerPool) -> None:
    ann = site.visit("ann")
    song_id = site.upload(ann, song())
    assert ann.delete(song_id).status_code == 200
    worker = workers.start()
    worker.wait_for_event("job_cancelled", job_id=song_hash(song()))
    wait_until(lambda: site.messages() == 0, timeout_s=60)
    assert site.results() == set()
    assert list(site.service.song_store.songs()) == []


def test_song_that_is_deleted_while_it_is_separated_leaves_nothing(
    site: SongsSite, workers: WorkerPool
) -> None:
    ann = site.visit("ann")
    song_id = site.upload(ann, song())
    worker = workers.start(ENGINE_PACE="4")
    worker.wait_for_event("song_decoded", job_id=song_hash(song()))
    assert ann.delete(song_id).status_code == 200
    worker.wait_for_event("job_cancelled", job_id=song_hash(song()))
    wait_until(lambda: site.messages() == 0, timeout_s=60)
    assert site.results() == set()


# B8


def survive_random_kills(
    site: SongsSite, pool: WorkerPool, reference: Reference, *, songs: int, workers: int
) -> str:
    ann = site.visit("ann")
    ids = {site.upload(ann, song(number)): number for number in range(songs)}
    # A kill counts as an attempt: chance must not use up the attempts of a good song.
    pool.keep(workers, ENGINE_PACE="1", MAX_ATTEMPTS="50")
    kills = pool.kill_busy(kills=songs // 4, until=lambda: site.is_split(ann, *ids))
    site.wait_for(ann, *ids, timeout_s=60 + 6 * songs)
    site.assert_split(ann, ids, reference)
    pool.stop_keeping()
    assert kills == songs // 4
    return f"{songs}/{songs} split, {kills} kills of workers"


@pytest.mark.fault("B8")
def test_random_kills_of_workers_lose_no_upload(
    site: SongsSite, workers: WorkerPool, reference: Reference, figure: Figure
) -> None:
    figure(survive_random_kills(site, workers, reference, songs=8, workers=2))


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.fault("B8")
def test_random_kills_of_workers_lose_none_of_100_uploads(
    site: SongsSite, workers: WorkerPool, reference: Reference, figure: Figure
) -> None:
    figure(survive_random_kills(site, workers, reference, songs=100, workers=3))


@pytest.mark.fault("B8")
@pytest.mark.parametrize("step", [Step.SONG_SEPARATED, Step.RESULT_UPLOADED])
def test_worker_that_is_killed_at_its_upload_loses_no_song(
    site: SongsSite, workers: WorkerPool, reference: Reference, tmp_path: Path, step: Step, figure: Figure
) -> None:
    """After a kill between the upload and the acknowledgement the same result comes again."""
    ann = site.visit("ann")
    song_id = site.upload(ann, song())
    met = tmp_path / "met"
    met.mkdir()
    kill = Injection(Damage.KILL, step, 1, song_hash(song()))
    workers.keep(1, **as_settings(kill, met=met))
    site.wait_for(ann, song_id)
    wait_until(lambda: list(met.iterdir()), timeout_s=120)
    site.assert_split(ann, {song_id: 0}, reference)
    figure(f"killed at {step.value}: split")


@pytest.mark.fault("B8")
def test_killed_rest_gets_the_result_when_it_is_back(
    site: SongsSite, workers: WorkerPool, reference: Reference, figure: Figure
) -> None:
    ann = site.visit("ann")
    song_id = site.upload(ann, song())
    worker = workers.start(ENGINE_PACE="2")
    worker.wait_for_event("song_decoded", job_id=song_hash(song()))
    site.service.kill()
    worker.wait_for_event("upload_failed", job_id=song_hash(song()))
    site.start()
    ann.service = site.service
    site.wait_for(ann, song_id)
    site.assert_split(ann, {song_id: 0}, reference)
    assert len(workers.events("song_separated")) == 1
    figure("rest killed: split by the same separation")


@pytest.mark.chaos
@pytest.mark.fault("B8")
def test_killed_broker_keeps_the_uploads(
    site: SongsSite, workers: WorkerPool, reference: Reference, figure: Figure
) -> None:
    ann = site.visit("ann")
    ids = {site.upload(ann, song(number)): number for number in range(3)}
    site.rabbit.kill()
    answer = ann.send(song(3), title="Morning")
    assert answer.status_code == 503
    assert {each["id"] for each in ann.list()} == set(ids)
    site.rabbit.start()
    ids[site.upload(ann, song(3))] = 3
    workers.start()
    site.wait_for(ann, *ids)
    site.assert_split(ann, ids, reference)
    figure("broker killed: 4 of 4 split, 503 meanwhile")


def test_song_above_the_limit_of_the_broker_is_refused(
    own_redis: RedisServer, rabbit_server: RabbitServer, tmp_path: Path
) -> None:
    """The shared broker takes messages of 1 MiB, as the setting says."""
    facts: dict[str, Any] = {"QUEUE": "rabbitmq", "WORKER_TOKEN": WORKER_TOKEN, "BROKER_MAX_MESSAGE_MB": "1"}
    (tmp_path / "store").mkdir()
    service = start_service(
        tmp_path,
        **facts,
        BROKER_ADDR=rabbit_server.addr,
        BROKER_QUEUE="above_the_limit",
        REDIS_PORT=str(own_redis.port),
        STORE_DIR=str(tmp_path / "store"),
        DATABASE_URL=f"sqlite:///{tmp_path / 'catalogue.db'}",
    )
    try:
        client = SongsClient(service=service)
        large = song(seconds=0.5) + bytes(1024 * 1024)
        wait_until(lambda: client.send(song()).status_code == 200)
        answer = client.send(large)
        assert (answer.status_code, answer.json()["errors"].keys()) == (413, {"file"})
        assert "1048576" in answer.text
        assert {each.key for each in service.song_store.songs()} == {f"{song_hash(song())}.mp3"}
    finally:
        service.kill()
