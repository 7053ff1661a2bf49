"""The whole system on a real cluster, from its deployment to its removal. The tests run in their order."""

import contextlib
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
import requests
import soundfile

from msaas.storage.s3 import connect
from tests.cluster.account import Account
from tests.cluster.kube import (
    IMAGES,
    LABEL,
    NEXT_WORKER,
    OPTIONS,
    ROOT,
    Api,
    Receiver,
    forwarded,
    is_ready,
    items,
    kubectl,
    new_song,
    pods,
    run,
    wait,
)

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]

STEMS = ("vocals", "drums", "bass", "other")
SERVICES = ("rest", "worker", "song-worker", "keeper", "logs")
SONGS = sorted((ROOT / "data").glob("*.mp3"))
Figure = Callable[[str], None]
_began: dict[str, float] = {}


def deploy(*options: str) -> str:
    return run("./deploy-all.sh", *OPTIONS, *options)


def test_one_command_deploys_everything(figure: Figure) -> None:
    _began["at"] = time.monotonic()
    output = deploy()
    figure(f"from the deployment to all pods ready: {time.monotonic() - _began['at']:.0f} s")
    assert "MSaaS is ready." in output
    for service in (*SERVICES, "redis", "minio", "mysql", "rabbitmq"):
        assert pods(service), service
        assert all(is_ready(pod) for pod in pods(service)), service


def test_sample_client_gets_its_stems(api: Api, figure: Figure, tmp_path: Path) -> None:
    environment = {**os.environ, "REST": api.url.removeprefix("http://")}
    sent = subprocess.run([sys.executable, "sample-requests.py"], cwd=ROOT, env=environment, check=False)
    assert sent.returncode == 0
    ids = {song: hashlib.sha256(song.read_bytes()).hexdigest() for song in SONGS}
    wait(lambda: any(api.is_done(job_id) for job_id in ids.values()))
    figure(f"from the deployment to the first stems: {time.monotonic() - _began['at']:.0f} s")
    for song, job_id in ids.items():
        wait(lambda job_id=job_id: api.is_done(job_id))
        assert {_duration_s(api.stem(job_id, stem), tmp_path) for stem in STEMS} == {
            _duration_s(song.read_bytes(), tmp_path)
        }


def _duration_s(mp3: bytes, folder: Path) -> int:
    (folder / "track.mp3").write_bytes(mp3)
    return round(soundfile.info(folder / "track.mp3").duration)


def test_logs_pod_prints_the_lines_of_other_services() -> None:
    text = kubectl("logs", "deployment/logs")
    for service, event in (
        ("rest", r"song_stored|job_\w+"),
        ("worker", "job_finished"),
    ):
        assert re.search(rf"^\S+\.{service}\.info:({event})", text, flags=re.MULTILINE), text[-2000:]


def test_second_deployment_keeps_all_pods() -> None:
    before = _uids()
    deploy()
    assert _uids() == before


def _uids() -> set[str]:
    return {pod["metadata"]["uid"] for service in (*SERVICES, "redis") for pod in pods(service)}


def test_api_keys_restrict_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", "a-key-of-the-cluster-test")
    deploy()
    assert _statuses_without_and_with_key() == (401, 200)
    kubectl("delete", "secret", "api-keys")
    kubectl("rollout", "restart", "deployment/rest-server")
    kubectl("rollout", "status", "deployment/rest-server", "--timeout=300s")
    assert _statuses_without_and_with_key() == (200, 200)


def _statuses_without_and_with_key() -> tuple[int, int]:
    key = {"Authorization": "Bearer a-key-of-the-cluster-test"}
    with forwarded() as api:
        without, with_key = (
            requests.get(f"{api.url}/apiv1/queue", headers=headers, timeout=30) for headers in ({}, key)
        )
    return without.status_code, with_key.status_code


def test_pods_run_unprivileged_and_without_build_tools() -> None:
    program = (
        "import importlib.metadata as m, os; print(os.getuid(), *sorted(d.name for d in m.distributions()))"
    )
    for deployment in ("rest-server", "worker", "song-worker", "keeper", "logs"):
        uid, *packages = kubectl("exec", f"deployment/{deployment}", "--", "python", "-c", program).split()
        assert int(uid) > 0
        assert {"pip", "setuptools", "wheel"}.isdisjoint(packages)
        assert [name for name in packages if name.startswith("nvidia")] == []
        assert ("torch" in packages) is deployment.endswith("worker")
        with pytest.raises(AssertionError, match="Read-only file system"):
            kubectl("exec", f"deployment/{deployment}", "--", "touch", "/new")


def test_job_of_a_killed_worker_pod_is_done(api: Api, song: bytes, figure: Figure) -> None:
    job_id = api.send(song)
    wait(lambda: api.is_under_way(job_id))
    attempt, killed_at = api.job(job_id)["attempts"], time.monotonic()
    kubectl("delete", "pod", pods("worker")[0]["metadata"]["name"], "--grace-period=0", "--force")
    wait(lambda: api.job(job_id).get("attempts", 0) > attempt)
    figure(f"from the kill of a worker pod to the next attempt: {time.monotonic() - killed_at:.0f} s")
    wait(lambda: api.is_done(job_id))
    figure(f"from the kill of a worker pod to the stems: {time.monotonic() - killed_at:.0f} s")
    assert all(api.stem(job_id, stem) for stem in STEMS)


@contextlib.contextmanager
def without_workers() -> Iterator[None]:
    kubectl("scale", "deployment/worker", "--replicas=0")
    wait(lambda: pods("worker") == [])
    try:
        yield
    finally:
        kubectl("scale", "deployment/worker", "--replicas=1")
        kubectl("rollout", "status", "deployment/worker", "--timeout=600s")


def test_callback_is_delivered_without_workers(api: Api, receiver: Receiver, figure: Figure) -> None:
    receiver.open()
    with without_workers():
        # The song is separated already: its callback is due at once.
        api.send(SONGS[0].read_bytes(), callback=receiver.callback("without workers"))
        seconds = wait(lambda: "without workers" in receiver.log())
        figure(f"without workers, from the request to its callback: {seconds:.0f} s")
        assert pods("worker") == []


def test_callback_of_a_killed_keeper_is_delivered_by_the_next(
    api: Api, receiver: Receiver, figure: Figure
) -> None:
    receiver.close()
    # The worker would refuse the private address.
    with without_workers():
        api.send(SONGS[0].read_bytes(), callback=receiver.callback("after the kill"))
        wait(lambda: "webhook_failed" in kubectl("logs", "deployment/keeper"))
        (old,) = pods("keeper")
        kubectl("delete", "pod", old["metadata"]["name"], "--grace-period=0", "--force")
        killed_at = time.monotonic()
        receiver.open()
        wait(lambda: "after the kill" in receiver.log())
        figure(f"from the kill of the keeper pod to the callback: {time.monotonic() - killed_at:.0f} s")
    assert receiver.log().count("after the kill") == 1


def test_rollout_finishes_the_running_job(api: Api, song: bytes) -> None:
    old = pods("worker")[0]["metadata"]["uid"]
    job_id = api.send(song)
    wait(lambda: api.is_under_way(job_id))
    if NEXT_WORKER:
        kubectl("set", "image", "deployment/worker", f"worker={NEXT_WORKER}")
    else:
        kubectl("rollout", "restart", "deployment/worker")
    kubectl("rollout", "status", "deployment/worker", "--timeout=600s")
    (new,) = pods("worker")
    assert new["metadata"]["uid"] != old
    assert NEXT_WORKER in new["spec"]["containers"][0]["image"]
    wait(lambda: api.is_done(job_id))
    assert api.job(job_id)["attempts"] == 1


def test_restart_of_redis_loses_no_job(api: Api, figure: Figure) -> None:
    ids = [api.send(new_song(song, times=6)) for song in SONGS]
    wait(lambda: any(api.is_under_way(job_id) for job_id in ids))
    restarted_at = time.monotonic()
    kubectl("delete", "pod", "redis-0", "--grace-period=0", "--force")
    kubectl("rollout", "status", "statefulset/redis", "--timeout=300s")
    wait(lambda: api.job(ids[0])["state"] != "unknown")
    figure(f"from the kill of the Redis pod to a reply of the API: {time.monotonic() - restarted_at:.0f} s")
    for job_id in ids:
        wait(lambda job_id=job_id: api.is_done(job_id))
        assert all(api.stem(job_id, stem) for stem in STEMS)


@pytest.fixture
def account(api: Api) -> Account:
    account = Account(api)
    account.register()
    return account


def test_song_of_an_account_has_parts_for_its_session_alone(account: Account, figure: Figure) -> None:
    began = time.monotonic()
    mp3 = new_song(SONGS[0])
    song = account.upload(mp3)
    wait(lambda: account.is_split(song["id"]))
    figure(
        f"a song of an account, by RabbitMQ, from its upload to its parts: {time.monotonic() - began:.0f} s"
    )
    assert all(account.part(song["id"], stem) for stem in STEMS)
    assert account.part(song["id"], "song") == mp3
    api = account.api
    for url in (f"{api.url}/songs/{song['id']}", f"{api.url}/apiv1/job/{song['hash']}"):
        assert requests.get(url, timeout=30).status_code == 404


def test_killed_database_loses_neither_songs_nor_history(account: Account, figure: Figure) -> None:
    """Songs of `/apiv1` need no database. Their history waits for it in Redis."""
    api, song = account.api, account.upload(new_song(SONGS[0]))
    wait(lambda: account.is_split(song["id"]))
    # Without its pod the database stays away until this test brings it back.
    kubectl("scale", "statefulset/mysql", "--replicas=0")
    kubectl("delete", "pod", "mysql-0", "--grace-period=0", "--force", "--ignore-not-found")
    wait(lambda: account.list_status() == 503)
    job_id = api.send(new_song(SONGS[1]))
    wait(lambda: api.is_done(job_id))
    assert all(api.stem(job_id, stem) for stem in STEMS)
    kubectl("scale", "statefulset/mysql", "--replicas=1")
    began = time.monotonic()
    wait(lambda: account.list_status() == 200)
    figure(f"from the start of the killed database to the list of songs: {time.monotonic() - began:.0f} s")
    wait(lambda: api.has_history(job_id))
    figure(f"from the start of the killed database to the history: {time.monotonic() - began:.0f} s")
    assert all(account.part(song["id"], stem) for stem in STEMS)


def test_killed_broker_loses_no_song(account: Account, figure: Figure) -> None:
    songs = [account.upload(new_song(song, times=6)) for song in SONGS]
    wait(lambda: "song_decoded" in kubectl("logs", "deployment/song-worker", "--since=20s"))
    killed_at = time.monotonic()
    kubectl("delete", "pod", "rabbitmq-0", "--grace-period=0", "--force")
    kubectl("rollout", "status", "statefulset/rabbitmq", "--timeout=300s")
    for song in songs:
        wait(lambda song=song: account.is_split(song["id"]))
        assert all(account.part(song["id"], stem) for stem in STEMS)
    figure(f"from the kill of the broker to the parts of all songs: {time.monotonic() - killed_at:.0f} s")


@contextlib.contextmanager
def drained(node: str) -> Iterator[None]:
    try:
        kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=600s")
        yield
    finally:
        kubectl("uncordon", node)


def test_drain_of_a_node_loses_no_job(api: Api) -> None:
    ids = [api.send(new_song(song, times=6)) for song in SONGS]
    wait(lambda: any(api.is_under_way(job_id) for job_id in ids))
    with drained(pods("worker")[0]["spec"]["nodeName"]):
        pass
    for job_id in ids:
        wait(lambda job_id=job_id: api.is_done(job_id))
        assert all(api.stem(job_id, stem) for stem in STEMS)


def test_two_workers_separate_more_than_one(api: Api, figure: Figure) -> None:
    # Half a core each: two fit on the smallest machine, and neither takes the share of the other.
    kubectl("set", "resources", "deployment/worker", "--limits=cpu=500m", "--requests=cpu=100m")
    seconds = {}
    for workers in (1, 2):
        kubectl("scale", "deployment/worker", f"--replicas={workers}")
        kubectl("rollout", "status", "deployment/worker", "--timeout=600s")
        wait(lambda workers=workers: [is_ready(pod) for pod in pods("worker")] == [True] * workers)
        started = time.monotonic()
        ids = [api.send(new_song(SONGS[0])) for _ in range(4)]
        for job_id in ids:
            wait(lambda job_id=job_id: api.is_done(job_id))
        seconds[workers] = time.monotonic() - started
        figure(f"4 songs, {workers} worker(s) of half a core: {seconds[workers]:.0f} s")
    figure(f"two workers against one: {seconds[1] / seconds[2]:.2f} times the throughput")
    assert seconds[1] / seconds[2] > 1.4


def test_delete_removes_everything() -> None:
    run("./deploy-all.sh", *OPTIONS, "--delete")
    kinds = "all,configmaps,secrets,persistentvolumeclaims,networkpolicies,poddisruptionbudgets,namespaces"
    assert items(kinds, "--all-namespaces", "-l", LABEL) == []
    assert "minio-ns" not in [each["metadata"]["name"] for each in items("namespaces")]


def test_local_dev_script_forwards_queue_and_store() -> None:
    script = subprocess.Popen(
        ["./deploy-local-dev.sh", *IMAGES],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert script.stdout
    output = ""
    for line in script.stdout:
        output += line
        if line == "Ctrl-C ends the forwards.\n":
            break
    exports = dict(re.findall(r"export (\w+)=(\w+)", output))
    client = redis.Redis(username=exports["REDIS_USERNAME"], password=exports["REDIS_PASSWORD"])
    assert client.ping()
    store = connect(
        "localhost:9000", access_key=exports["MINIO_ACCESS_KEY"], secret_key=exports["MINIO_SECRET_KEY"]
    )
    store.make_bucket("input-tracks")
    # A forward ends with its pod. The script restarts it.
    kubectl("delete", "pod", "redis-0")
    wait(lambda: _pings(client), timeout_s=120)
    script.send_signal(signal.SIGTERM)
    assert script.wait(timeout=30) == 0
    assert not _pings(client)
    run("./deploy-local-dev.sh", "--delete")
    assert items("pods", "--all-namespaces", "-l", LABEL) == []


def _pings(client: redis.Redis) -> bool:
    with contextlib.suppress(redis.exceptions.RedisError):
        return bool(client.ping())
    return False
