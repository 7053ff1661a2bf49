"""Secrets: none is in the log, in the list `logging`, in an answer or in the printed settings."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rest.tests.conftest import Start
from rest.tests.service import ROOT, Service

from tests.servers import RedisServer, S3Access, free_port, redis_running, wait_until

SECRETS = {
    "REDIS_PASSWORD": "redis-password-7f3a",
    "MINIO_ACCESS_KEY": "store-user-51bc",
    "MINIO_SECRET_KEY": "store-secret-9e21",
    "API_KEYS": "api-key-of-the-shop-04d7",
}
SENT = [
    "wrong-key-that-was-sent-6c",
    "user-of-the-callback-3b",
    "word-of-the-callback-8d",
    "token=in-the-path-5e",
]
BEARER = {"Authorization": f"Bearer {SECRETS['API_KEYS']}"}
CALLBACK = {"url": f"http://{SENT[1]}:{SENT[2]}@localhost:5000/?{SENT[3]}"}


@pytest.fixture
def locked_redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_running(tmp_path / "locked") as server:
        server.client().config_set("requirepass", SECRETS["REDIS_PASSWORD"])
        yield server


def provoke(service: Service, song: bytes) -> str:
    """Send requests that succeed and requests that fail. Return all answers."""
    with_callback = {"callback": json.dumps(CALLBACK)}
    answers = [
        service.send(song, headers=BEARER),
        service.send(song, params=with_callback, headers=BEARER),
        service.send(b"not a song", params=with_callback, headers=BEARER),
        service.send_as_json({"mp3": "?", "callback": CALLBACK}, headers=BEARER),
        service.send_as_json({"mp3": "?", "callback": CALLBACK["url"]}, headers=BEARER),
        service.send_as_form({"mp3": song}, data=with_callback, headers=BEARER),
        service.send_as_form({"mp3": song}, data={"callback": str(CALLBACK)}, headers=BEARER),
        service.get("/apiv1/queue", headers={"Authorization": f"Bearer {SENT[0]}"}),
        service.get("/apiv1/queue", headers={**BEARER, "Host": "evil.example"}),
        *(
            service.get(path, headers=BEARER)
            for path in ("/apiv1/bucket", "/apiv1/job/a", "/apiv1/track/a/bass", "/readyz", "/metrics")
        ),
    ]
    return "".join(f"{answer.headers}{answer.text}" for answer in answers)


def secrets_in(text: str) -> list[str]:
    return [secret for secret in (*SECRETS.values(), *SENT) if secret in text]


@pytest.mark.parametrize("store", ["away", "locked"])
def test_no_secret_is_logged_or_answered(
    start: Start, locked_redis: RedisServer, s3_server: S3Access, song: bytes, store: str
) -> None:
    """The store is unreachable, or refuses the credentials. Redis has a password, and is killed half way."""
    host = f"127.0.0.1:{free_port()}" if store == "away" else s3_server.environment["MINIO_HOST"]
    address = {"STORE_DIR": "", "MINIO_HOST": host, "REDIS_PORT": str(locked_redis.port)}
    service = start(**address, **SECRETS, LOG_LEVEL="debug", DEBUG_ENDPOINTS="1", RATE_LIMIT="1000/minute")
    answers = provoke(service, song)
    wait_until(lambda: service.redis.llen("logging") > 0)
    lines = b"\n".join(service.redis.lrange("logging", 0, -1)).decode()
    locked_redis.kill()
    answers += provoke(service, song)
    log = service.log.read_text()
    assert "store_unavailable" in answers
    assert "queue_unavailable" in answers
    assert "Traceback" in log
    assert secrets_in(answers) == secrets_in(lines) == secrets_in(log) == []
    # The job holds the callback, but no line of the log does.
    assert "song_received" in lines


def run(*, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "rest" / "rest-server.py"), "--check-config"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.process
def test_settings_are_printed_without_their_secrets() -> None:
    ended = run(environment={**SECRETS, "PORT": "5999"})
    assert ended.returncode == 0
    for name in SECRETS:
        assert f"{name}=***" in ended.stdout
    assert "PORT=5999" in ended.stdout
    assert secrets_in(ended.stdout) == []


@pytest.mark.process
def test_invalid_setting_is_named_without_its_value() -> None:
    ended = run(environment={"API_KEYS": "short-key"})
    assert ended.returncode == 1
    assert "API_KEYS" in ended.stderr
    assert "short-key" not in ended.stderr
