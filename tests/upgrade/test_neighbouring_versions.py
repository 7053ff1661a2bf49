"""The previous release beside this one, on the same queue and store, as during a rolling upgrade."""

import io
import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import time
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from msaas.models import FOUR_STEMS
from msaas.songs import song_hash
from tests.faults.songs import song
from tests.receiver import Receiver
from tests.servers import RedisServer, free_port, wait_until

#: The last commit before the recipe, the keeper and the new layout.
PREVIOUS = "2d75480"
ROOT = Path(__file__).parents[2]
_WAIT_S = 120.0
pytestmark = [pytest.mark.process, pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the previous release and the same libraries."""
    found = subprocess.run(["git", "archive", PREVIOUS], cwd=ROOT, capture_output=True)
    if found.returncode:
        assert not os.environ.get("CI"), f"the clone lacks commit {PREVIOUS}: {found.stderr.decode()}"
        pytest.skip("this checkout has no history")
    folder = tmp_path_factory.mktemp("previous")
    with tarfile.open(fileobj=io.BytesIO(found.stdout)) as tree:
        tree.extractall(folder, filter="data")
    venv.create(folder / "venv", symlinks=True)
    site_packages = next((folder / "venv" / "lib").glob("python*/site-packages"))
    sources = [folder / part / "src" for part in ("common", "rest", "worker")]
    # The decoder runs isolated: it ignores PYTHONPATH, and must not find the modules of this release.
    paths = [*map(str, sources), sysconfig.get_path("purelib")]
    (site_packages / "previous.pth").write_text("\n".join(paths))
    return folder / "venv" / "bin" / "python"


@dataclass
class Mixed:
    """A queue and a store that processes of both releases share."""

    folder: Path
    redis: RedisServer
    previous: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, service: str, *, old: bool, **settings: str) -> subprocess.Popen[bytes]:
        python = str(self.previous) if old else sys.executable
        environment = {
            "PATH": os.environ["PATH"],
            "TMPDIR": str(self.folder),
            "REDIS_HOST": self.redis.address.host,
            "REDIS_PORT": str(self.redis.address.port),
            "STORE_DIR": str(self.folder / "store"),
            "DEMUCS_MODEL": "starter",
            "HF_HUB_OFFLINE": "1",
            "LEASE_SECONDS": "4",
            **settings,
        }
        log = self.folder / f"{len(self.processes)}.log"
        with open(log, "wb") as output:
            process = subprocess.Popen(
                [python, "-m", f"msaas_{service}"], env=environment, stdout=output, stderr=output
            )
        self.processes.append(process)
        return process

    def start_rest(self, *, old: bool, **settings: str) -> str:
        port = free_port()
        process = self.start("rest", old=old, PORT=str(port), **settings)
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: is_up(url) or process.poll() is not None, timeout_s=_WAIT_S)
        assert process.poll() is None, self.log_of(process)
        return url

    def push(self, message: dict[str, str]) -> None:
        self.redis.client().lpush("toWorkers", json.dumps(message))

    def store_song(self, mp3: bytes) -> str:
        """Store a song by hand; return its hash."""
        bucket = self.folder / "store" / "input-tracks"
        bucket.mkdir(exist_ok=True)
        (bucket / f"{song_hash(mp3)}.mp3").write_bytes(mp3)
        return song_hash(mp3)

    def log_of(self, process: subprocess.Popen[bytes]) -> str:
        return (self.folder / f"{self.processes.index(process)}.log").read_text()

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


def is_up(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz", timeout=2).ok
    except requests.RequestException:
        return False


@pytest.fixture
def mixed(tmp_path: Path, redis_server: RedisServer, previous: Path) -> Iterator[Mixed]:
    (tmp_path / "store").mkdir()
    mixed = Mixed(tmp_path, redis_server, previous)
    yield mixed
    mixed.close()


def send(url: str, mp3: bytes, **options: str) -> str:
    reply = requests.post(
        f"{url}/apiv1/separate",
        data=mp3,
        params=options,
        headers={"Content-Type": "audio/mpeg"},
        timeout=10,
    )
    assert reply.status_code == 200, reply.text
    return str(reply.json()["songhash"])


def status(url: str, job_id: str) -> dict[str, Any]:
    return dict(requests.get(f"{url}/apiv1/job/{job_id}", timeout=5).json())


def wait_for(url: str, job_id: str, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    wait_until(lambda: reached(status(url, job_id)), timeout_s=_WAIT_S)
    return status(url, job_id)


def stem(url: str, job_id: str, name: str) -> bytes:
    reply = requests.get(f"{url}/apiv1/track/{job_id}/{name}.mp3", timeout=10)
    assert reply.status_code == 200, reply.text
    return reply.content


@pytest.mark.parametrize("worker_is_old", [True, False], ids=["old worker", "new worker"])
def test_both_releases_of_rest_see_the_jobs_of_either_worker(mixed: Mixed, worker_is_old: bool) -> None:
    mixed.start("worker", old=worker_is_old)
    old, new = mixed.start_rest(old=True), mixed.start_rest(old=False)
    ids = [send(old, song(1)), send(new, song(2))]
    for job_id in ids:
        seen_by_new = wait_for(new, job_id, lambda told: told.get("state") == "done")
        assert status(old, job_id).items() <= seen_by_new.items()
        for name in FOUR_STEMS:
            assert stem(old, job_id, name) == stem(new, job_id, name)
    # A finished song is finished for both.
    for url in (old, new):
        assert [send(url, song(number)) for number in (1, 2)] == ids
        assert status(url, ids[0])["finished_at"] is not None


def test_new_worker_takes_over_the_job_of_a_killed_old_one(mixed: Mixed) -> None:
    new = mixed.start_rest(old=False)
    mp3 = song(3, seconds=40)
    killed = mixed.start("worker", old=True)
    job_id = send(new, mp3)
    assert job_id == song_hash(mp3)
    running = wait_for(new, job_id, lambda told: told["state"] == "running" and told["progress"] > 0.05)
    assert running["model"] == "starter"
    killed.kill()
    mixed.start("worker", old=False)
    mixed.start("keeper", old=False)
    done = wait_for(new, job_id, lambda told: told["state"] == "done")
    assert (done["attempts"], done["stems"]) == (2, list(FOUR_STEMS))


def test_fragments_of_an_old_worker_are_served_by_the_new_rest(mixed: Mixed) -> None:
    new = mixed.start_rest(old=False)
    mixed.start("worker", old=True)
    job_id = send(new, song(4, seconds=40))
    wait_for(new, job_id, lambda told: bool(told["playable_until_s"]) or told["state"] == "done")
    heard = requests.get(f"{new}/apiv1/job/{job_id}/pieces/vocals/1", timeout=5)
    assert heard.status_code == 200
    wait_for(new, job_id, lambda told: told["state"] == "done")
    assert stem(new, job_id, "vocals").startswith(heard.content)
    # The new keeper collects the fragments of the old worker.
    mixed.start("keeper", old=False)
    bucket = mixed.folder / "store" / "output-tracks"
    wait_until(lambda: not list(bucket.glob("*.piece")), timeout_s=_WAIT_S)
    assert time.time() - (bucket / f"{job_id}.json").stat().st_mtime < _WAIT_S


@pytest.mark.parametrize("worker_is_old", [True, False], ids=["old worker", "new worker"])
def test_variant_has_the_same_id_and_result_in_both_releases(mixed: Mixed, worker_is_old: bool) -> None:
    # The weights of the default model are missing: only the variant can be separated.
    default = {"DEMUCS_MODEL": "htdemucs"}
    mixed.start("worker", old=worker_is_old, **default)
    old, new = mixed.start_rest(old=True, **default), mixed.start_rest(old=False, **default)
    sender, other = (new, old) if worker_is_old else (old, new)
    job_id = send(sender, song(5), model="starter")
    assert job_id.startswith(f"{song_hash(song(5))}.")
    done = wait_for(other, job_id, lambda told: told.get("state") == "done")
    assert (done["model"], done["stems"]) == ("starter", list(FOUR_STEMS))
    for url in (old, new):
        assert send(url, song(5), model="starter") == job_id
        assert status(url, job_id)["finished_at"] == done["finished_at"]
    assert stem(old, job_id, "bass") == stem(new, job_id, "bass")


@pytest.mark.parametrize("worker_is_old", [True, False], ids=["old worker", "new worker"])
def test_job_by_hand_that_names_the_default_model_is_done_once(mixed: Mixed, worker_is_old: bool) -> None:
    """The old worker writes the model into the options of the manifest, the new one does not."""
    first = mixed.start("worker", old=worker_is_old)
    old, new = mixed.start_rest(old=True), mixed.start_rest(old=False)
    job_id = mixed.store_song(song(6))
    mixed.push({"hash": job_id, "model": "starter"})
    wait_for(new, job_id, lambda told: told.get("state") == "done")
    first.kill()
    first.wait()
    manifest = mixed.folder / "store" / "output-tracks" / f"{job_id}.json"
    written = manifest.stat().st_mtime_ns
    for url in (old, new):
        assert send(url, song(6)) == job_id
        assert requests.get(f"{url}/apiv1/queue", timeout=5).json() == {"queue": []}
    second = mixed.start("worker", old=False)
    # A move to the list of the first worker may be in flight: then the keeper returns the entry.
    mixed.start("keeper", old=False)
    for message in ({"hash": job_id, "model": "starter"}, {"hash": job_id}):
        mixed.push(message)
    wait_until(lambda: mixed.log_of(second).count('"job_finished"') == 2, timeout_s=_WAIT_S)
    assert manifest.stat().st_mtime_ns == written


def test_titled_song_of_a_new_worker_is_served_by_the_new_rest_alone(mixed: Mixed) -> None:
    """The previous release reads no manifest with a title. docs/operations.md tells the order."""
    old, new = mixed.start_rest(old=True), mixed.start_rest(old=False)
    mixed.start("worker", old=False)
    untitled = song(8)
    mp3 = untitled[:-128] + b"TAG" + b"A title".ljust(30, b"\0") + untitled[-95:]
    job_id = send(old, mp3)
    wait_for(new, job_id, lambda told: told.get("state") == "done")
    for name in FOUR_STEMS:
        assert stem(new, job_id, name)
    refused = requests.get(f"{old}/apiv1/track/{job_id}/vocals.mp3", timeout=10)
    assert refused.status_code == 404
    # Nothing is lost: the new release serves the stems afterwards, too.
    assert send(new, mp3) == job_id
    assert status(new, job_id)["attempts"] == 1


@pytest.mark.parametrize("rest_is_old", [True, False], ids=["old rest", "new rest"])
def test_callback_is_sent_once_by_a_worker_of_the_other_release(mixed: Mixed, rest_is_old: bool) -> None:
    allow = {"CALLBACK_ALLOW_PRIVATE": "1"}
    url = mixed.start_rest(old=rest_is_old)
    mixed.start("worker", old=not rest_is_old, **allow)
    mixed.start("keeper", old=False, **allow)
    with Receiver() as receiver:
        callback = json.dumps({"url": receiver.url, "data": {"mine": 1}})
        job_id = send(url, song(7), callback=callback)
        wait_until(lambda: receiver.received, timeout_s=_WAIT_S)
        # The song is done: the callback of a second request is sent at once.
        assert send(url, song(7), callback=callback) == job_id
        wait_until(lambda: len(receiver.received) == 2, timeout_s=_WAIT_S)
        delivered = f"{url}/apiv1/job/{job_id}/callbacks"

        def states() -> list[str]:
            return [each["state"] for each in requests.get(delivered, timeout=5).json()["callbacks"]]

        wait_until(lambda: states() == ["delivered"] * 2, timeout_s=_WAIT_S)
        assert [json.loads(body) for body in receiver.bodies] == [{"mine": 1}] * 2
    assert len({each.headers["webhook-id"] for each in receiver.received}) == 2
