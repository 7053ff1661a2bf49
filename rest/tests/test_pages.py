"""The home page, health, metrics, and answers to failures of the service itself."""

import errno
import gzip
import os
from pathlib import Path

import pytest
import structlog
from flask import Flask
from flask.testing import FlaskClient
from rest.tests.in_memory import client_on
from rest.tests.service import Service

from msaas.errors import ObjectNotFound
from msaas.queue.memory import InMemoryQueue
from msaas.storage.directory import DirectoryStore
from msaas.storage.memory import InMemoryStore
from msaas.storage.protocol import ObjectStore
from msaas_rest.home.routes import routes as home_routes

# Home


@pytest.mark.parametrize("accept", ["*/*", "", "application/json", "text/plain", "image/png"])
def test_home_is_200_with_json_for_a_program(service: Service, accept: str) -> None:
    answer = service.get("/", headers={"Accept": accept})
    assert answer.status_code == 200
    assert "html" not in answer.headers["Content-Type"]


BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}


@pytest.fixture
def home(tmp_path: Path) -> FlaskClient:
    """The routes of the home page with a built page."""
    assets = tmp_path / "assets"
    assets.mkdir()
    (tmp_path / "index.html").write_text('<script type="module" src="/assets/index-1.js"></script>')
    (assets / "index-1.js").write_text("let many = 1\n" * 100)
    (assets / "font-1.woff2").write_bytes(b"font")
    (assets / "notes.txt").write_text("no asset")
    return home_on(tmp_path)


def home_on(folder: Path) -> FlaskClient:
    app = Flask(__name__)
    app.register_blueprint(home_routes(folder=folder))
    return app.test_client()


def test_home_is_a_page_for_a_browser(service: Service) -> None:
    answer = service.get("/", headers=BROWSER)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "base-uri 'none'" in policy
    # Under no-referrer a browser sends `Origin: null` with a form, which the origin check refuses.
    assert answer.headers["Referrer-Policy"] == "same-origin"


def test_home_without_the_build_is_a_form_that_says_how_to_build(tmp_path: Path) -> None:
    answer = home_on(tmp_path).get("/", headers=BROWSER)
    assert "<form" in answer.text
    assert "make web" in answer.text
    assert "script-src" not in answer.headers["Content-Security-Policy"]


def test_built_page_has_a_policy_without_inline_code_and_other_hosts(home: FlaskClient) -> None:
    answer = home.get("/", headers=BROWSER)
    assert "/assets/index-1.js" in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe-inline" not in policy
    assert "'unsafe-eval'" not in policy
    assert "http" not in policy
    assert answer.headers["Cache-Control"] == "no-cache"


def test_assets_are_immutable_and_compressed(home: FlaskClient) -> None:
    plain = home.get("/assets/index-1.js")
    assert plain.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert plain.headers["Content-Type"] == "text/javascript; charset=utf-8"
    zipped = home.get("/assets/index-1.js", headers={"Accept-Encoding": "br, gzip"})
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(zipped.data) == plain.data
    assert len(zipped.data) < len(plain.data)


def test_font_is_not_compressed_again(home: FlaskClient) -> None:
    answer = home.get("/assets/font-1.woff2", headers={"Accept-Encoding": "gzip"})
    assert (answer.data, answer.headers.get("Content-Encoding")) == (b"font", None)


@pytest.mark.parametrize("path", ["notes.txt", "absent.js", "..%2findex.html", "%2e%2e/index.html"])
def test_other_files_are_not_served(home: FlaskClient, path: str) -> None:
    assert home.get(f"/assets/{path}").status_code == 404


# Readiness


@pytest.mark.parametrize("kind", ["directory", "s3", "memory"])
def test_readiness_prepares_a_new_store(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    store: ObjectStore = InMemoryStore()
    if kind == "directory":
        store = DirectoryStore(tmp_path / "store")
    elif kind == "s3":
        store = request.getfixturevalue("s3_server").store()
    with pytest.raises(ObjectNotFound):
        list(store.list("input-tracks"))
    answer = client_on(store=store).get("/readyz")
    assert (answer.status_code, answer.json) == (200, {"queue": "ok", "store": "ok", "workers": 0})
    assert list(store.list("input-tracks")) == list(store.list("output-tracks")) == []


def test_readiness_is_503_until_the_store_can_be_prepared() -> None:
    store = InMemoryStore()
    client = client_on(store=store)
    store.away = True
    for _ in range(2):
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json["type"]) == (503, "urn:msaas:error:store_unavailable")  # type: ignore[index]
    store.away = False
    assert client.get("/readyz").status_code == 200
    assert list(store.list("input-tracks")) == []
    store.away = True
    assert client.get("/readyz").status_code == 503


def test_readiness_prepares_a_store_whose_folder_was_deleted(service: Service) -> None:
    assert service.settings.store_dir is not None
    for _ in range(2):
        assert service.get("/readyz").status_code == 200
        for bucket in service.settings.store_dir.iterdir():
            bucket.rmdir()
        service.settings.store_dir.rmdir()
    assert service.get("/readyz").status_code == 200
    assert len(list(service.settings.store_dir.iterdir())) == 2


def test_live_workers_are_counted() -> None:
    queue = InMemoryQueue()
    client = client_on(queue=queue)
    for number in (1, 2):
        queue.consumer(f"w{number}").heartbeat()
    assert client.get("/readyz").json["workers"] == 2  # type: ignore[index]
    assert "msaas_workers 2.0" in client.get("/metrics").text
    queue.consumer("w1").deregister()
    assert client.get("/readyz").json["workers"] == 1  # type: ignore[index]


# Metrics


def test_queue_requests_and_durations_are_counted(service: Service, song: bytes) -> None:
    service.send(song)
    text = service.get("/metrics").text
    assert 'msaas_queue_jobs{state="waiting"} 1.0' in text
    assert 'msaas_requests_total{method="POST",route="/apiv1/separate",status="200"}' in text
    assert 'msaas_request_seconds_count{method="POST",route="/apiv1/separate"}' in text
    assert "msaas_build_info{" in text
    assert "msaas_workers 0.0" in text


@pytest.mark.parametrize(
    ("method", "path", "label"),
    [
        ("PUT", "/apiv1/queue", 'method="PUT",route="/apiv1/queue",status="405"'),
        ("PUT", "/apiv1/queue/", 'method="PUT",route="/apiv1/queue",status="405"'),
        ("GET", "/apiv1/separate", 'method="GET",route="/apiv1/separate",status="405"'),
        ("POST", "/apiv1/job/abc", 'method="POST",route="/apiv1/job/<job_id>",status="405"'),
        ("BREW", "/apiv1/queue", 'method="other",route="/apiv1/queue",status="405"'),
        ("BREW", "/made-up-path", 'method="other",route="none",status="404"'),
        ("GET", "/made-up-path", 'method="GET",route="none",status="404"'),
    ],
)
def test_refused_request_is_counted_under_its_route(method: str, path: str, label: str) -> None:
    client = client_on()
    client.open(path, method=method)
    text = client.get("/metrics").text
    assert f"msaas_requests_total{{{label}}} 1.0" in text
    assert "made-up" not in text
    assert "BREW" not in text


def test_metrics_are_served_without_the_queue() -> None:
    queue = InMemoryQueue()
    client = client_on(queue=queue)
    queue.away = True
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert "msaas_queue_jobs{" not in answer.text


# Failures


class CrashingQueue(InMemoryQueue):
    def waiting(self, **_: object) -> list[str]:
        raise RuntimeError("an internal secret")


class FullDisk(InMemoryQueue):
    def waiting(self, **_: object) -> list[str]:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_full_disk_is_503_and_logged_as_an_error() -> None:
    with structlog.testing.capture_logs() as lines:
        answer = client_on(queue=FullDisk()).get("/apiv1/queue")
    assert (answer.status_code, answer.json["type"]) == (503, "urn:msaas:error:too_busy")  # type: ignore[index]
    assert "Retry-After" in answer.headers
    (failure,) = [line for line in lines if line["log_level"] == "error"]
    assert failure["event"] == "disk_filled"
    assert isinstance(failure["exc_info"], OSError)


def test_unexpected_exception_is_500_without_its_text() -> None:
    with structlog.testing.capture_logs() as lines:
        answer = client_on(queue=CrashingQueue()).get("/apiv1/queue", headers={"X-Request-ID": "crash-1"})
    assert (answer.status_code, answer.content_type) == (500, "application/problem+json")
    assert answer.json is not None
    assert answer.json["title"] == "Internal Server Error"
    assert answer.json["detail"] == "The service failed. Its log has the cause under request id crash-1."
    assert "secret" not in answer.text
    (failure,) = [line for line in lines if line["log_level"] == "error"]
    assert (failure["event"], failure["path"]) == ("request_crashed", "/apiv1/queue")
    assert isinstance(failure["exc_info"], RuntimeError)
