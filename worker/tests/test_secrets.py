"""Whatever becomes of its jobs and callbacks, a worker tells no secret."""

import os
import subprocess
import sys

from worker.tests.service import Service, Worker
from worker.tests.songs import song_mp3

from msaas.jobs import Callback, Job
from tests.servers import free_port, wait_until

SECRETS = {
    "WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "MINIO_ACCESS_KEY": "store-user-51bc",
    "MINIO_SECRET_KEY": "store-secret-9e21",
}
SENT = ("user-7a", "word-9b", "path-3c", "query-1d", "data-5f", "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB")


def callback(host: str) -> Callback:
    return Callback(
        f"http://{SENT[0]}:{SENT[1]}@{host}/{SENT[2]}?{SENT[3]}", data={"p": SENT[4]}, secret=SENT[5]
    )


def ends_of_callbacks(worker: Worker) -> list[str]:
    return sorted(line["event"] for line in worker.events() if line["event"].startswith("callback_"))


def assert_untold(text: str) -> None:
    assert text
    assert [secret for secret in (*SECRETS.values(), *SENT) if secret in text] == []


def test_no_secret_is_told_of_any_callback(service: Service) -> None:
    worker = service.start_worker(**SECRETS, LOG_LEVEL="debug", CALLBACK_ALLOW_PRIVATE="127.0.0.1/32")
    job_id = service.put(song_mp3(1))
    for host in ("10.0.0.1", f"127.0.0.1:{free_port()}", "[broken", "no-such-name.invalid"):
        service.queue.enqueue(Job(job_id=job_id, callback=callback(host)))
    service.wait_for_end(job_id)
    expected = ["callback_delayed"] * 2 + ["callback_refused"] * 2
    wait_until(lambda: ends_of_callbacks(worker) == expected, timeout_s=60)
    assert_untold(worker.output())
    assert_untold(b"\n".join(service.redis.lrange("logging", 0, -1)).decode())


def test_the_settings_are_printed_without_their_secrets() -> None:
    environment = {"PATH": os.environ["PATH"], **SECRETS}
    command = [sys.executable, "-m", "msaas_worker", "--check-config"]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    for name in SECRETS:
        assert f"{name}=***" in shown
    assert_untold(shown)


def test_a_secret_that_cannot_sign_is_named_and_not_shown() -> None:
    environment = {"PATH": os.environ["PATH"], "WEBHOOK_SECRET": "too-short"}
    command = [sys.executable, "-m", "msaas_worker", "--check-config"]
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "WEBHOOK_SECRET" in refused.stderr
    assert "too-short" not in refused.stderr
