"""Log lines: ids of the request and the job, levels, tracebacks. `test_golden.py` holds their form."""

import json
from typing import Any

import pytest
from rest.tests.conftest import Start
from rest.tests.service import FRAME, Service

from msaas.jobs import Job
from msaas.songs import song_hash
from tests.servers import RedisServer, wait_until

MP3 = FRAME * 100
ROUTES = ["/", "/healthz", "/readyz", "/metrics", "/apiv1/queue", "/apiv1/nothing", "/apiv1/job/a..b"]


def lines_of(service: Service, request_id: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    return [line for line in lines if line.get("request_id") == request_id]


# Request ids


@pytest.mark.parametrize("path", ROUTES)
def test_request_id_of_the_client_is_returned(service: Service, path: str) -> None:
    assert service.get(path, headers={"X-Request-ID": "abc-1.2_3"}).headers["X-Request-ID"] == "abc-1.2_3"


@pytest.mark.parametrize("given", [None, "", "a b", "x" * 65, "{}", "é", "a/b"])
def test_missing_or_invalid_request_id_is_replaced(service: Service, given: str | None) -> None:
    headers = {} if given is None else {"X-Request-ID": given.encode()}
    first, second = (
        service.get("/apiv1/queue", headers=headers).headers["X-Request-ID"]  # type: ignore[arg-type]
        for _ in range(2)
    )
    assert given not in (first, second)
    assert first != second
    assert len(first) == 16


def test_request_id_travels_in_the_job(service: Service) -> None:
    answer = service.send(MP3, headers={"X-Request-ID": "upload-7"})
    payload = service.queue.consumer("w1").take(timeout_s=1)
    assert payload is not None
    job = Job.decode(payload)
    assert (job.request_id, job.options) == ("upload-7", {})
    assert json.loads(payload)["meta"] == {"request_id": "upload-7"}
    assert answer.json()["hash"] == job.job_id


def test_every_line_of_a_request_has_its_ids_and_no_other(service: Service) -> None:
    """Threads serve one request after the other: an id must not leak into the next."""
    for number in range(10):
        service.send(MP3, headers={"X-Request-ID": f"leak-{number}"})
        service.get("/apiv1/job/a..b", headers={"X-Request-ID": f"refused-{number}"})
    wait_until(lambda: lines_of(service, "refused-9"))
    for number in range(10):
        lines = lines_of(service, f"leak-{number}")
        assert [line["event"] for line in lines] == ["song_received", "song_stored", "job_enqueued"]
        assert {line["job_id"] for line in lines} == {song_hash(MP3)}
        (refused,) = lines_of(service, f"refused-{number}")
        assert "job_id" not in refused


# Levels


def test_refusal_is_one_info_line(service: Service) -> None:
    service.send(b"not a song", headers={"X-Request-ID": "refused"})
    wait_until(lambda: lines_of(service, "refused"))
    (line,) = lines_of(service, "refused")
    assert (line["level"], line["event"], line["code"]) == ("info", "request_refused", "not_audio")
    assert "exception" not in line


def test_full_queue_is_an_info_line(shared: Start) -> None:
    service = shared(MAX_QUEUED="2")
    for digit in "12":
        service.queue.enqueue(Job(job_id=digit * 64))
    service.send(MP3, headers={"X-Request-ID": "full"})
    wait_until(lambda: lines_of(service, "full"))
    assert [(line["level"], line["code"]) for line in lines_of(service, "full")] == [("info", "queue_full")]


def test_poll_for_a_missing_stem_is_not_logged_at_info(service: Service) -> None:
    service.get(f"/apiv1/track/{'a' * 64}/bass", headers={"X-Request-ID": "poll"})
    service.send(b"not a song", headers={"X-Request-ID": "after"})
    wait_until(lambda: lines_of(service, "after"))
    assert lines_of(service, "poll") == []


@pytest.fixture
def without_store(shared: Start) -> Service:
    return shared(STORE_DIR="", MINIO_HOST="127.0.0.1:1", LOG_LEVEL="warning")


def test_outage_of_the_store_is_one_warning_with_its_traceback(without_store: Service) -> None:
    headers = {"X-Request-ID": "outage"}
    assert without_store.send(MP3, headers=headers).status_code == 503
    wait_until(lambda: lines_of(without_store, "outage"))
    (line,) = lines_of(without_store, "outage")
    assert (line["level"], line["event"]) == ("warning", "request_failed")
    assert (line["code"], line["path"]) == ("store_unavailable", "/apiv1/separate")
    assert line["job_id"] == song_hash(MP3)
    assert "Traceback" in line["exception"]
    assert "msaas/storage/s3.py" in line["exception"]


CRASHING = """
from msaas.queue.redis.jobs import RedisQueue
from msaas_rest.__main__ import main

def crash(self, **page):
    raise RuntimeError("the reason of the crash")

RedisQueue.waiting = crash
main()
"""


@pytest.fixture
def crashing(start: Start) -> Service:
    """A service with a mistake in one route."""
    return start(command=("-c", CRASHING), LOG_LEVEL="warning")


def test_unexpected_exception_is_one_error_with_its_traceback(
    crashing: Service, redis_server: RedisServer
) -> None:
    assert crashing.get("/apiv1/queue", headers={"X-Request-ID": "crash"}).status_code == 500
    wait_until(lambda: lines_of(crashing, "crash"))
    (line,) = lines_of(crashing, "crash")
    assert (line["level"], line["event"], line["path"]) == ("error", "request_crashed", "/apiv1/queue")
    assert line["exception"].endswith("RuntimeError: the reason of the crash")
    assert "Traceback" in line["exception"]
    redis = redis_server.client()
    wait_until(lambda: redis.llen("logging"))
    (listed,) = redis.lrange("logging", 0, -1)
    assert b"request_crashed" in listed
    assert b"exception=RuntimeError: the reason of the crash" in listed
    assert b"Traceback" not in listed


def test_level_warning_shows_failures_only(without_store: Service, song: bytes) -> None:
    assert without_store.get("/apiv1/models").status_code == 200
    assert without_store.get("/apiv1/job/a..b").status_code == 400
    assert without_store.send(b"not a song").status_code == 415
    assert without_store.send(song, headers={"X-Request-ID": "last"}).status_code == 503
    wait_until(lambda: lines_of(without_store, "last"))
    levels = {json.loads(line)["level"] for line in without_store.log.read_text().splitlines()}
    assert levels == {"warning"}
