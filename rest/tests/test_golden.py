"""Replies, messages and log lines that clients and workers rely on."""

import json

import pytest
from rest.tests.golden import assert_golden, describe
from rest.tests.service import FRAME, Service

from msaas.songs import song_hash
from tests.servers import RedisServer, wait_until

JOB = "a" * 64
TAGGED = {"X-Request-ID": "golden-1"}


@pytest.fixture
def song() -> bytes:
    return FRAME * 100


def test_replies_about_a_song_are_those_of_the_golden_files(service: Service, song: bytes) -> None:
    job_id = song_hash(song)
    assert_golden("separate.txt", describe(service.send(song)))
    assert_golden("separate-variant.txt", describe(service.send(song, query="?model=htdemucs_6s")))
    assert_golden("queue.txt", describe(service.get("/apiv1/queue")))
    assert_golden("job-queued.txt", describe(service.get(f"/apiv1/job/{job_id}")))
    service.work()
    assert_golden("job-done.txt", describe(service.get(f"/apiv1/job/{job_id}")))
    assert_golden("bucket.txt", describe(service.get("/apiv1/bucket")))
    assert_golden("remove.txt", describe(service.get(f"/apiv1/remove/{job_id}/base.mp3")))
    assert_golden("delete-contents.txt", describe(service.get("/apiv1/delete_contents")))


def test_replies_without_a_song_are_those_of_the_golden_files(service: Service) -> None:
    assert_golden("home.txt", describe(service.get("/")))
    assert_golden("models.txt", describe(service.get("/apiv1/models")))
    assert_golden("healthz.txt", describe(service.get("/healthz")))
    assert_golden("readyz.txt", describe(service.get("/readyz")))


@pytest.mark.parametrize(
    ("name", "method", "path"),
    [
        ("no-such-route", "GET", "/apiv1/nothing"),
        ("no-such-method", "PUT", "/apiv1/queue"),
        ("track-not-found", "GET", f"/apiv1/track/{JOB}/vocals.mp3"),
        ("unknown-stem", "GET", f"/apiv1/track/{JOB}/cowbell"),
        ("unknown-format", "GET", f"/apiv1/track/{JOB}/vocals.ogg"),
        ("unknown-model", "POST", "/apiv1/separate?model=nobody/evil"),
        ("unknown-option", "POST", "/apiv1/separate?modle=mdx"),
        ("job-not-found", "GET", f"/apiv1/job/{JOB}"),
        ("invalid-id", "GET", "/apiv1/job/a..b"),
        ("missing-song", "POST", "/apiv1/separate"),
    ],
)
def test_refused_request_gets_the_problem_of_the_golden_file(
    service: Service, song: bytes, name: str, method: str, path: str
) -> None:
    body = song if "?" in path else b""
    answer = service.call(method, path, data=body, headers={"Content-Type": "audio/mpeg"})
    assert_golden(f"problem-{name}.txt", describe(answer))
    assert answer.content.endswith(b"}\n")


def test_messages_of_jobs_are_those_of_the_golden_file(
    service: Service, song: bytes, redis_server: RedisServer
) -> None:
    service.send(song, headers=TAGGED)
    callback = '{"url": "http://localhost:5000", "data": {"mine": 1}}'
    service.send_as_form({"mp3": song}, data={"model": "mdx", "callback": callback}, headers=TAGGED)
    messages = reversed(redis_server.client().lrange("toWorkers", 0, -1))
    assert_golden("job-messages.txt", "\n".join(message.decode() for message in messages))


def test_log_list_has_the_lines_of_the_golden_file(
    service: Service, song: bytes, redis_server: RedisServer
) -> None:
    redis = redis_server.client()
    service.send(song, headers=TAGGED)
    wait_until(lambda: b"job_enqueued" in b"".join(redis.lrange("logging", 0, -1)))
    lines = [line.decode().partition(".rest.") for line in reversed(redis.lrange("logging", 0, -1))]
    assert_golden(
        "log-list.txt", "\n".join(f"<node>.rest.{text}" for _, _, text in lines if "golden-1" in text)
    )


def test_stdout_has_the_lines_of_the_golden_file(service: Service, song: bytes) -> None:
    headers = {"X-Request-ID": "golden-2"}
    service.send(song, headers=headers)
    service.send(b"not a song", headers=headers)
    wait_until(lambda: "not_audio" in service.log.read_text())
    lines = [line for line in service.log.read_text().splitlines() if '"golden-2"' in line]
    assert all(json.loads(line)["request_id"] == "golden-2" for line in lines)
    assert_golden("log-stdout.txt", "\n".join(lines))
