"""Whatever happens, no secret is told: not in the log, not in the list `logging`, not in an answer."""

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
    """Do what works and what fails; return all answers."""
    answers = [
        service.send(song, headers=BEARER),
        service.call("POST", "/apiv1/separate", json={"mp3": "?", "callback": CALLBACK}, headers=BEARER),
        service.call(
            "POST", "/apiv1/separate", files={"mp3": song}, data={"callback": str(CALLBACK)}, headers=BEARER
        ),
        service.get("/apiv1/queue", headers={"Authorization": f"Bearer {SENT[0]}"}),
        service.get("/apiv1/queue", headers={**BEARER, "Host": "evil.example"}),
        *(
            service.get(path, headers=BEARER)
            for path in ("/apiv1/bucket", "/apiv1/job/a", "/readyz", "/metrics")
        ),
    ]
    return "".join(f"{answer.headers}{answer.text}" for answer in answers)


def assert_untold(text: str) -> None:
    assert [secret for secret in (*SECRETS.values(), *SENT) if secret in text] == []


@pytest.mark.parametrize("store", ["away", "locked"])
def test_no_secret_is_told(
    start: Start, locked_redis: RedisServer, s3_server: S3Access, song: bytes, store: str
) -> None:
    host = f"127.0.0.1:{free_port()}" if store == "away" else s3_server.environment["MINIO_HOST"]
    address = {"STORE_DIR": "", "MINIO_HOST": host, "REDIS_PORT": str(locked_redis.port)}
    service = start(**address, **SECRETS, LOG_LEVEL="debug", DEBUG_ENDPOINTS="1", RATE_LIMIT="1000/minute")
    answers = provoke(service, song)
    wait_until(lambda: service.redis.llen("logging") > 0)
    lines = b"\n".join(service.redis.lrange("logging", 0, -1)).decode()
    locked_redis.kill()
    answers += provoke(service, song)
    assert "store_unavailable" in answers
    assert "queue_unavailable" in answers
    for told in (answers, lines, service.log.read_text()):
        assert told
        assert_untold(told)


def test_the_settings_are_printed_without_their_secrets() -> None:
    command = [sys.executable, str(ROOT / "rest" / "rest-server.py"), "--check-config"]
    shown = subprocess.run(command, env=SECRETS, capture_output=True, text=True, check=True).stdout
    for name in SECRETS:
        assert f"{name}=***" in shown
    assert_untold(shown)


def test_a_wrong_setting_is_named_without_its_value() -> None:
    command = [sys.executable, str(ROOT / "rest" / "rest-server.py"), "--check-config"]
    refused = subprocess.run(
        command, env={"API_KEYS": "short-key"}, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "API_KEYS" in refused.stderr
    assert "short-key" not in refused.stderr
