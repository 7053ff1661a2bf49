"""Names and forms that clients rely on never change by accident."""

import json

import pytest
import requests
from rest.tests.golden import assert_golden
from rest.tests.service import FRAME, Service

from msaas.songs import song_hash
from tests.servers import RedisServer, wait_until

JOB = "a" * 64


@pytest.fixture
def song() -> bytes:
    return FRAME * 100


def shown(answer: requests.Response) -> str:
    """The status, the headers a client reads, the body."""
    lines = [str(answer.status_code)]
    for name in ("Content-Type", "Retry-After", "Content-Disposition", "Allow"):
        if name in answer.headers:
            words = answer.headers[name].split(", ")
            lines.append(f"{name}: {', '.join(sorted(words))}")
    return "\n".join([*lines, "", json.dumps(answer.json(), indent=1, ensure_ascii=False)])


def test_replies_to_a_song_and_its_questions(service: Service, song: bytes) -> None:
    songhash = song_hash(song)
    assert_golden("separate.txt", shown(service.send(song)))
    assert_golden("separate-variant.txt", shown(service.send(song, query="?model=htdemucs_6s")))
    assert_golden("queue.txt", shown(service.get("/apiv1/queue")))
    assert_golden("job-queued.txt", shown(service.get(f"/apiv1/job/{songhash}")))
    service.work()
    assert_golden("job-done.txt", shown(service.get(f"/apiv1/job/{songhash}")))
    assert_golden("bucket.txt", shown(service.get("/apiv1/bucket")))
    assert_golden("remove.txt", shown(service.get(f"/apiv1/remove/{songhash}/base.mp3")))
    assert_golden("delete-contents.txt", shown(service.get("/apiv1/delete_contents")))


def test_replies_to_anybody(service: Service) -> None:
    assert_golden("home.txt", shown(service.get("/")))
    assert_golden("models.txt", shown(service.get("/apiv1/models")))
    assert_golden("healthz.txt", shown(service.get("/healthz")))
    assert_golden("readyz.txt", shown(service.get("/readyz")))


@pytest.mark.parametrize(
    ("name", "method", "path"),
    [
        ("no-such-route", "GET", "/apiv1/nothing"),
        ("no-such-method", "PUT", "/apiv1/queue"),
        ("track-not-found", "GET", f"/apiv1/track/{JOB}/vocals.mp3"),
        ("unknown-stem", "GET", f"/apiv1/track/{JOB}/cowbell"),
        ("unknown-format", "GET", f"/apiv1/track/{JOB}/vocals.ogg"),
        ("unknown-model", "POST", "/apiv1/separate?model=nobody/evil"),
        ("job-not-found", "GET", f"/apiv1/job/{JOB}"),
        ("missing-song", "POST", "/apiv1/separate"),
    ],
)
def test_problems(service: Service, song: bytes, name: str, method: str, path: str) -> None:
    body = song if "model" in path else b""
    answer = service.call(method, path, data=body, headers={"Content-Type": "audio/mpeg"})
    assert_golden(f"problem-{name}.txt", shown(answer))


def test_job_messages(service: Service, song: bytes, redis_server: RedisServer) -> None:
    service.send(song)
    service.send_as_form(song, model="mdx", callback='{"url": "http://localhost:5000", "data": {"mine": 1}}')
    messages = reversed(redis_server.client().lrange("toWorkers", 0, -1))
    assert_golden("job-messages.txt", "\n".join(message.decode() for message in messages))


def test_log_lines(service: Service, song: bytes, redis_server: RedisServer) -> None:
    redis = redis_server.client()
    redis.delete("logging")
    service.send(song)
    wait_until(lambda: redis.llen("logging") == 3)
    lines = [line.decode() for line in reversed(redis.lrange("logging", 0, -1))]
    assert all(line.split(".rest.info:")[1] for line in lines)
    assert_golden("log-lines.txt", "\n".join("<node>.rest." + line.split(".rest.")[1] for line in lines))
