"""The whole system on a real cluster, from one command to nothing left; the tests tell it in their order."""

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
import sphn

from msaas.s3_store import connect
from tests.cluster.kube import (
    LABEL,
    NEXT_WORKER,
    OPTIONS,
    ROOT,
    Api,
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
SONGS = sorted((ROOT / "data").glob("*.mp3"))
Figure = Callable[[str], None]
_began: dict[str, float] = {}


def deploy(*options: str) -> str:
    return run("./deploy-all.sh", *OPTIONS, *options)


def test_one_command_brings_everything_up(figure: Figure) -> None:
    _began["at"] = time.monotonic()
    told = deploy()
    figure(f"from nothing to everything ready: {time.monotonic() - _began['at']:.0f} s")
    assert "MSaaS is up." in told
    assert all(
        is_ready(pod) for service in ("rest", "worker", "logs", "redis", "minio") for pod in pods(service)
    )


def test_the_clients_in_use_get_their_stems(api: Api, figure: Figure, tmp_path: Path) -> None:
    environment = {**os.environ, "REST": api.url.removeprefix("http://")}
    sent = subprocess.run([sys.executable, "sample-requests.py"], cwd=ROOT, env=environment, check=False)
    assert sent.returncode == 0
    ids = {song: hashlib.sha256(song.read_bytes()).hexdigest() for song in SONGS}
    wait(lambda: any(api.is_done(job_id) for job_id in ids.values()))
    figure(f"from nothing to the first stems: {time.monotonic() - _began['at']:.0f} s")
    for song, job_id in ids.items():
        wait(lambda job_id=job_id: api.is_done(job_id))
        assert {_duration_s(api.stem(job_id, stem), tmp_path) for stem in STEMS} == {
            _duration_s(song.read_bytes(), tmp_path)
        }


def _duration_s(mp3: bytes, folder: Path) -> int:
    (folder / "track.mp3").write_bytes(mp3)
    samples, samplerate = sphn.read(str(folder / "track.mp3"))
    return round(samples.shape[-1] / samplerate)


def test_the_logs_pod_shows_both_services() -> None:
    text = kubectl("logs", "deployment/logs")
    for service, event in (("rest", "job_queued|job_enqueued|song_stored"), ("worker", "job_finished")):
        assert re.search(rf"^\S+\.{service}\.info:({event})", text, flags=re.MULTILINE), text[-2000:]


def test_deploying_again_changes_nothing() -> None:
    before = {
        pod["metadata"]["uid"] for service in ("rest", "worker", "logs", "redis") for pod in pods(service)
    }
    deploy()
    after = {
        pod["metadata"]["uid"] for service in ("rest", "worker", "logs", "redis") for pod in pods(service)
    }
    assert after == before


def test_keys_that_are_given_close_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", "a-key-of-the-cluster-test")
    deploy()
    assert _answers_to_a_guest_and_a_friend() == (401, 200)
    kubectl("delete", "secret", "api-keys")
    kubectl("rollout", "restart", "deployment/rest-server")
    kubectl("rollout", "status", "deployment/rest-server", "--timeout=300s")
    assert _answers_to_a_guest_and_a_friend() == (200, 200)


def _answers_to_a_guest_and_a_friend() -> tuple[int, int]:
    friend = {"Authorization": "Bearer a-key-of-the-cluster-test"}
    with forwarded() as api:
        guest, known = (
            requests.get(f"{api.url}/apiv1/queue", headers=headers, timeout=30) for headers in ({}, friend)
        )
    return guest.status_code, known.status_code


def test_pods_are_nobody_and_carry_nothing_to_build_with() -> None:
    program = (
        "import importlib.metadata as m, os; print(os.getuid(), *sorted(d.name for d in m.distributions()))"
    )
    for deployment in ("rest-server", "worker", "logs"):
        uid, *packages = kubectl("exec", f"deployment/{deployment}", "--", "python", "-c", program).split()
        assert int(uid) > 0
        assert {"pip", "setuptools", "wheel"}.isdisjoint(packages)
        assert [name for name in packages if name.startswith("nvidia")] == []
        assert ("torch" in packages) is (deployment == "worker")
        with pytest.raises(AssertionError, match="Read-only file system"):
            kubectl("exec", f"deployment/{deployment}", "--", "touch", "/new")


def test_a_worker_pod_that_is_killed_costs_no_song(api: Api, song: bytes, figure: Figure) -> None:
    job_id = api.send(song)
    wait(lambda: api.is_under_way(job_id))
    attempt, killed_at = api.job(job_id)["attempts"], time.monotonic()
    kubectl("delete", "pod", pods("worker")[0]["metadata"]["name"], "--grace-period=0", "--force")
    wait(lambda: api.job(job_id).get("attempts", 0) > attempt)
    figure(f"from the kill of a worker pod to the next attempt: {time.monotonic() - killed_at:.0f} s")
    wait(lambda: api.is_done(job_id))
    figure(f"from the kill of a worker pod to the stems: {time.monotonic() - killed_at:.0f} s")
    assert all(api.stem(job_id, stem) for stem in STEMS)


def test_a_new_version_rolls_out_and_the_song_at_work_is_finished(api: Api, song: bytes) -> None:
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


def test_redis_restarts_and_no_song_is_lost(api: Api, figure: Figure) -> None:
    ids = [api.send(new_song(song, times=6)) for song in SONGS]
    wait(lambda: any(api.is_under_way(job_id) for job_id in ids))
    restarted_at = time.monotonic()
    kubectl("delete", "pod", "redis-0", "--grace-period=0", "--force")
    kubectl("rollout", "status", "statefulset/redis", "--timeout=300s")
    wait(lambda: api.job(ids[0])["state"] != "unknown")
    figure(f"from the kill of the Redis pod to an answer of the API: {time.monotonic() - restarted_at:.0f} s")
    for job_id in ids:
        wait(lambda job_id=job_id: api.is_done(job_id))
        assert all(api.stem(job_id, stem) for stem in STEMS)


@contextlib.contextmanager
def drained(node: str) -> Iterator[None]:
    try:
        kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=600s")
        yield
    finally:
        kubectl("uncordon", node)


def test_a_node_is_drained_and_no_song_is_lost(api: Api) -> None:
    ids = [api.send(new_song(song, times=6)) for song in SONGS]
    wait(lambda: any(api.is_under_way(job_id) for job_id in ids))
    with drained(pods("worker")[0]["spec"]["nodeName"]):
        pass
    for job_id in ids:
        wait(lambda job_id=job_id: api.is_done(job_id))
        assert all(api.stem(job_id, stem) for stem in STEMS)


def test_two_workers_do_more_than_one(api: Api, figure: Figure) -> None:
    # A share of a core each, so that two fit on the smallest machine and neither takes what the other needs.
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


def test_everything_goes() -> None:
    run("./deploy-all.sh", *OPTIONS, "--delete")
    kinds = "all,configmaps,secrets,persistentvolumeclaims,networkpolicies,poddisruptionbudgets,namespaces"
    assert items(kinds, "--all-namespaces", "-l", LABEL) == []
    assert "minio-ns" not in [each["metadata"]["name"] for each in items("namespaces")]


def test_a_developer_has_queue_and_store_on_localhost_until_the_script_ends() -> None:
    script = subprocess.Popen(
        ["./deploy-local-dev.sh"], cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert script.stdout
    told = ""
    for line in script.stdout:
        told += line
        if line == "Ctrl-C ends the forwards.\n":
            break
    exports = dict(re.findall(r"export (\w+)=(\w+)", told))
    client = redis.Redis(password=exports["REDIS_PASSWORD"])
    assert client.ping()
    store = connect(
        "localhost:9000", access_key=exports["MINIO_ACCESS_KEY"], secret_key=exports["MINIO_SECRET_KEY"]
    )
    store.make_bucket("input-tracks")
    # A forward ends with its pod; the script makes it again.
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
