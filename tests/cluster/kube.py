"""The cluster that KUBECONFIG points to: by kubectl, and by HTTP through a port-forward."""

import contextlib
import json
import os
import secrets
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.servers import free_port, wait_until

ROOT = Path(__file__).parents[2]
#: For deploy-all.sh, for example `--registry registry.example/msaas --tag 0.1.0 --overlay gke`.
OPTIONS = shlex.split(os.environ.get("CLUSTER_DEPLOY_OPTIONS", ""))
#: What the workers are rolled out to; without it they are rolled out to the same image anew.
NEXT_WORKER = os.environ.get("CLUSTER_NEXT_WORKER", "")
LABEL = "app.kubernetes.io/part-of=msaas"
_HTTP_S = 30
#: Machines that do other things, too, are slow.
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
    """Return the pods of a service that are not on their way out."""
    found = items("pods", "-l", f"{LABEL},app.kubernetes.io/name={service}", "--all-namespaces")
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True"


def wait(true: Callable[[], object], *, timeout_s: float = PATIENCE_S) -> float:
    """Return how long it took, in seconds."""
    started = time.monotonic()
    wait_until(true, timeout_s=timeout_s, every_s=1.0)
    return time.monotonic() - started


def new_song(song: Path, *, times: int = 1) -> bytes:
    """Return the song, so many times over, under a new hash: an ID3 tag makes it another file."""
    comment = b"\0\0\0" + secrets.token_bytes(32).hex().encode()
    frame = b"PRIV" + len(comment).to_bytes(4, "big") + b"\0\0" + comment
    return b"ID3\3\0\0" + bytes([0, 0, 0, len(frame)]) + frame + song.read_bytes() * times


@dataclass(frozen=True)
class Api:
    """Answers while the forward holds; one that broke is made again by `forwarded`."""

    url: str

    def send(self, mp3: bytes) -> str:
        answer = requests.post(
            f"{self.url}/apiv1/separate", data=mp3, headers={"Content-Type": "audio/mpeg"}, timeout=_HTTP_S
        )
        assert answer.status_code == 200, answer.text
        songhash: str = answer.json()["songhash"]
        return songhash

    def job(self, job_id: str) -> dict[str, Any]:
        """Return an empty job while nobody answers."""
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

    def stem(self, job_id: str, stem: str) -> bytes:
        answer = requests.get(f"{self.url}/apiv1/track/{job_id}/{stem}.mp3", timeout=_HTTP_S)
        assert answer.status_code == 200, answer.text
        return answer.content


@contextlib.contextmanager
def forwarded() -> Iterator[Api]:
    """Forward a free port to the API, again and again, for a forward ends with its pod."""
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
