"""What a browser, a load balancer, a probe and a scraper see."""

import errno
import os

import pytest
from flask.testing import FlaskClient
from rest.tests.service import Service

from msaas.queue import JobQueue
from msaas.testing import InMemoryOutbox, InMemoryQueue, InMemoryStore
from msaas.tracks import Tracks
from msaas_rest.app import create_app
from msaas_rest.bootstrap import Parts
from msaas_rest.budget import Budget
from msaas_rest.settings import RestSettings


@pytest.mark.parametrize("accept", ["*/*", "", "application/json", "text/plain", "image/png"])
def test_the_front_door_is_200_for_whoever_wants_no_page(service: Service, accept: str) -> None:
    answer = service.get("/", headers={"Accept": accept})
    assert answer.status_code == 200
    assert "html" not in answer.headers["Content-Type"]


def test_a_browser_gets_a_page(service: Service) -> None:
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
    answer = service.get("/", headers={"Accept": accept})
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<form" in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    # Under no-referrer a browser sends `Origin: null` with the form, and we refuse what comes from nowhere.
    assert answer.headers["Referrer-Policy"] == "same-origin"


def test_what_waits_is_counted(service: Service, song: bytes) -> None:
    service.send(song)
    text = service.get("/metrics").text
    assert 'msaas_queue_jobs{state="waiting"} 1.0' in text
    assert 'msaas_requests_total{method="POST",route="/apiv1/separate",status="200"}' in text


def test_what_clients_make_up_is_no_label(service: Service) -> None:
    service.get("/made-up-path")
    service.call("BREW", "/apiv1/queue")
    text = service.get("/metrics").text
    assert "made-up" not in text
    assert "BREW" not in text


class BrokenQueue(InMemoryQueue):
    def waiting(self) -> list[str]:
        raise RuntimeError("a secret of the house")


def client_on(queue: JobQueue) -> FlaskClient:
    tracks = Tracks(InMemoryStore())
    parts = Parts(RestSettings(), queue, InMemoryOutbox(), tracks, tracks, Budget(1))
    return create_app(parts).test_client()


class FullDisk(InMemoryQueue):
    def waiting(self) -> list[str]:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_a_503() -> None:
    answer = client_on(FullDisk()).get("/apiv1/queue")
    assert (answer.status_code, answer.json["type"]) == (503, "urn:msaas:error:too_busy")  # type: ignore[index]
    assert "Retry-After" in answer.headers


def test_a_mistake_of_ours_is_a_500_that_tells_nothing() -> None:
    answer = client_on(BrokenQueue()).get("/apiv1/queue")
    assert (answer.status_code, answer.content_type) == (500, "application/problem+json")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
