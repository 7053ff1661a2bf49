"""The cluster of KUBECONFIG: kubectl, and HTTP through a port-forward."""

import contextlib
import itertools
import json
import os
import secrets
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.servers import free_port, wait_until

ROOT = Path(__file__).parents[2]
#: Options of deploy-all.sh, for example `--registry registry.example/msaas --tag 0.1.0 --overlay gke`.
OPTIONS = shlex.split(os.environ.get("CLUSTER_DEPLOY_OPTIONS", ""))
#: Those of them that replace an image, where those of the manifests cannot be pulled.
IMAGES = [
    word for option, value in itertools.pairwise(OPTIONS) if option == "--image" for word in (option, value)
]
#: The image of the worker rollout. Empty: the same image again.
NEXT_WORKER = os.environ.get("CLUSTER_NEXT_WORKER", "")
LABEL = "app.kubernetes.io/part-of=msaas"
_HTTP_S = 30
#: Generous: test machines may be busy with other work.
PATIENCE_S = 900.0


def run(*command: str, timeout_s: float = PATIENCE_S) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=timeout_s)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def kubectl(*arguments: str, timeout_s: float = PATIENCE_S) -> str:
    return run("kubectl", *arguments, timeout_s=timeout_s)


def items(kinds: str, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(kubectl("get", kinds, "-o", "json", *arguments))["items"]
    return found


def pods(service: str) -> list[dict[str, Any]]:
    """Return the pods of a service, without those that are being deleted."""
    found = items("pods", "-l", f"{LABEL},app.kubernetes.io/name={service}", "--all-namespaces")
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True"


def wait(condition: Callable[[], object], *, timeout_s: float = PATIENCE_S) -> float:
    """Wait until the condition is true; return how long it took, in seconds."""
    started = time.monotonic()
    wait_until(condition, timeout_s=timeout_s, every_s=1.0)
    return time.monotonic() - started


def new_song(song: Path, *, times: int = 1) -> bytes:
    """Return the song, repeated `times`, with a random ID3 tag: the tag gives it a new hash."""
    comment = b"\0\0\0" + secrets.token_bytes(32).hex().encode()
    frame = b"PRIV" + len(comment).to_bytes(4, "big") + b"\0\0" + comment
    return b"ID3\3\0\0" + bytes([0, 0, 0, len(frame)]) + frame + song.read_bytes() * times


@dataclass(frozen=True)
class Api:
    """The API through a port-forward. `forwarded` restarts a broken forward."""

    url: str

    def send(self, mp3: bytes, **query: str) -> str:
        """Send a song; return the id of its job."""
        answer = requests.post(
            f"{self.url}/apiv1/separate",
            params=query,
            data=mp3,
            headers={"Content-Type": "audio/mpeg"},
            timeout=_HTTP_S,
        )
        assert answer.status_code == 200, answer.text
        job_id: str = answer.json()["songhash"]
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        """Return the status of a job, `unknown` while the API does not answer."""
        with contextlib.suppress(requests.RequestException):
            answer = requests.get(f"{self.url}/apiv1/job/{job_id}", timeout=_HTTP_S)
            if answer.status_code == 200:
                found: dict[str, Any] = answer.json()
                return found
        return {"state": "unknown", "progress": 0.0}

    def is_under_way(self, job_id: str) -> bool:
        job = self.job(job_id)
        return bool(job["state"] == "running" and job["progress"] > 0)

    def is_done(self, job_id: str) -> bool:
        job = self.job(job_id)
        assert job["state"] != "failed", job
        return bool(job["state"] == "done")

    def has_history(self, job_id: str) -> bool:
        """Return whether the database has the separation."""
        answer = requests.get(f"{self.url}/apiv1/history", params={"job": job_id}, timeout=_HTTP_S)
        return answer.status_code == 200 and bool(answer.json()["separations"])

    def stem(self, job_id: str, stem: str) -> bytes:
        answer = requests.get(f"{self.url}/apiv1/track/{job_id}/{stem}.mp3", timeout=_HTTP_S)
        assert answer.status_code == 200, answer.text
        return answer.content


@contextlib.contextmanager
def forwarded() -> Iterator[Api]:
    """Forward a free port to the API. A forward ends with its pod: a loop restarts it."""
    port = free_port()
    command = f"while true; do kubectl port-forward service/rest-server {port}:5000; sleep 0.5; done"
    process = subprocess.Popen(
        ["bash", "-c", command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    api = Api(f"http://127.0.0.1:{port}")
    try:
        wait(lambda: _answers(api.url), timeout_s=60)
        yield api
    finally:
        os.killpg(process.pid, 15)
        process.wait()


def _answers(url: str) -> bool:
    with contextlib.suppress(requests.RequestException):
        return requests.get(f"{url}/readyz", timeout=_HTTP_S).status_code == 200
    return False


@dataclass(frozen=True)
class Receiver:
    """A pod that receives callbacks, and prints them, while it is open."""

    url: str = "http://receiver.default.svc.cluster.local:8000/"

    def callback(self, text: str) -> str:
        """Return the field `callback` of a request that posts the text to this receiver."""
        return json.dumps({"url": self.url, "data": {"text": text}})

    def open(self) -> None:
        kubectl("label", "--overwrite", "pod", "receiver", "receives=yes")

    def close(self) -> None:
        kubectl("label", "--overwrite", "pod", "receiver", "receives=no")

    def log(self) -> str:
        return kubectl("logs", "pod/receiver")


@contextlib.contextmanager
def running_receiver() -> Iterator[Receiver]:
    image = pods("keeper")[0]["spec"]["containers"][0]["image"]
    manifest = (ROOT / "tests/cluster/receiver.yaml").read_text().replace("IMAGE", image)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(manifest)
        file.flush()
        kubectl("apply", "-f", file.name)
        try:
            kubectl("wait", "--for=condition=Ready", "pod/receiver", "--timeout=300s")
            yield Receiver()
        finally:
            kubectl("delete", "-f", file.name, "--ignore-not-found", "--grace-period=1")
