"""No secret of a service or of a callback is in its output or in the logging list."""

import os
import subprocess
import sys

import pytest
from worker.tests.songs import song_mp3

from msaas.errors import MalformedSettings
from msaas.jobs import Callback
from msaas.settings import WebhookSettings
from msaas_keeper.settings import KeeperSettings
from msaas_worker.settings import WorkerSettings
from tests.processes import ServiceProcess
from tests.servers import free_port, wait_until
from tests.system import System
from tests.worker_pool import WorkerPool

SECRETS = {
    "WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "MINIO_ACCESS_KEY": "store-user-51bc",
    "MINIO_SECRET_KEY": "store-secret-9e21",
}
SENT = ("user-7a", "word-9b", "path-3c", "query-1d", "data-5f", "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB")


def callback_to(host: str) -> Callback:
    user, password, path, query, data, secret = SENT
    return Callback(f"http://{user}:{password}@{host}/{path}?{query}", data={"p": data}, secret=secret)


def webhook_events(process: ServiceProcess) -> list[str]:
    return sorted(line["event"] for line in process.events() if line["event"].startswith("webhook_"))


def assert_no_secret_in(text: str) -> None:
    assert text
    assert [secret for secret in (*SECRETS.values(), *SENT) if secret in text] == []


@pytest.mark.parametrize("service", ["worker", "keeper"])
def test_secrets_of_callbacks_are_not_logged(system: System, pool: WorkerPool, service: str) -> None:
    settings = {**SECRETS, "LOG_LEVEL": "debug", "CALLBACK_ALLOW_PRIVATE": "127.0.0.1/32"}
    start = pool.start if service == "worker" else pool.start_keeper
    process: ServiceProcess = start(ready=False, **settings)
    job_id = system.put(song_mp3(1))
    for host in ("10.0.0.1", f"127.0.0.1:{free_port()}", "[broken", "no-such-name.invalid"):
        if service == "worker":
            system.send(song_mp3(1), callback=callback_to(host))
        else:
            system.outbox.add(callback_to(host), job_id=job_id)
    expected = ["webhook_failed"] * 2 + ["webhook_refused"] * 2
    wait_until(lambda: webhook_events(process) == expected)
    assert_no_secret_in(process.output())
    assert_no_secret_in(b"\n".join(system.redis.client().lrange("logging", 0, -1)).decode())


@pytest.mark.process
def test_settings_are_printed_without_secrets() -> None:
    environment = {"PATH": os.environ["PATH"], **SECRETS}
    command = [sys.executable, "-m", "msaas_worker", "--check-config"]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    for name in SECRETS:
        assert f"{name}=***" in printed
    assert_no_secret_in(printed)


@pytest.mark.parametrize("settings", [WorkerSettings, KeeperSettings])
def test_invalid_secret_is_named_and_not_shown(
    settings: type[WebhookSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", "too-short")
    with pytest.raises(MalformedSettings, match="WEBHOOK_SECRET") as error:
        settings.from_env()
    assert "too-short" not in str(error.value)
