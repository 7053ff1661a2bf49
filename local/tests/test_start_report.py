"""The report of the start, against a real queue and an HTTP server in place of the API."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from msaas.queue.redis.clients import RedisAddress
from msaas.queue.redis.jobs import RedisQueue
from msaas_local.processes import Connection
from msaas_local.settings import LocalSettings
from msaas_local.stack import Stack
from msaas_local.start_report import StartReport, describe_model
from msaas_local.supervisor import Supervisor


@dataclass
class Api:
    """Answers `/readyz` with 503 until `workers` is a number."""

    workers: int | None = None
    port: int = 0
    messages: list[str] = field(default_factory=list)


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503 if api.workers is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps({"workers": api.workers}).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        api.port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield api
        server.shutdown()


@pytest.fixture
def stack(api: Api, redis_address: RedisAddress, tmp_path: Path) -> Stack:
    settings = LocalSettings(msaas_home=tmp_path, port=api.port, demucs_model="htdemucs", workers=2)
    settings.log_dir.mkdir()
    (settings.log_dir / "worker-1.log").touch()
    return Stack(
        settings=settings,
        connection=Connection(
            queue={"REDIS_PORT": str(redis_address.port)}, store={"STORE_DIR": str(tmp_path / "store")}
        ),
        processes=[],
        supervisor=Supervisor(settings.log_dir, api.messages.append),
    )


def log_of_worker(stack: Stack, *lines: dict[str, str]) -> None:
    text = "A library wrote this line.\n" + "".join(json.dumps(line) + "\n" for line in lines)
    (stack.settings.log_dir / "worker-1.log").write_text(text)


def test_each_step_is_said_once(stack: Stack, api: Api) -> None:
    report = StartReport(stack, api.messages.append)
    assert not report.update()
    assert api.messages == []
    log_of_worker(stack, {"event": "torch_loading"})
    api.workers = 1
    assert not report.update()
    log_of_worker(stack, {"event": "torch_loading"}, {"event": "model_loading", "model": "htdemucs"})
    assert not report.update()
    assert not report.update()
    assert [message.split(": ", 1)[1] for message in api.messages] == [
        f"the API accepts songs at http://127.0.0.1:{api.port}",
        "worker-1 loads torch",
        "worker-1 loads htdemucs",
    ]
    api.workers = 2
    assert report.update()
    assert api.messages[3].startswith(f"ready at http://127.0.0.1:{api.port} after ")
    messages = list(api.messages)
    assert report.update()
    assert api.messages == messages


def test_waiting_is_said_at_growing_intervals(stack: Stack, api: Api) -> None:
    report = StartReport(replace(stack, started_at=time.monotonic() - 6), api.messages.append)
    report.update()
    report.update()
    assert [message.split(": ", 1)[1] for message in api.messages] == ["waiting for the API"]


def test_ready_lines_name_queue_and_store(stack: Stack, api: Api) -> None:
    api.workers = 2
    StartReport(stack, api.messages.append).update()
    text = "\n".join(api.messages)
    port, store = stack.connection.redis_port, stack.settings.msaas_home / "store"
    assert f"redis-cli -p {port}" in text
    assert f"REDIS_PORT={port} STORE_DIR={store} .venv/bin/python worker/send-request.py" in text


def test_default_model_that_runs_is_named(stack: Stack) -> None:
    assert describe_model(stack) == ["htdemucs"]


def test_stand_in_is_named_with_its_reason(stack: Stack, redis_address: RedisAddress) -> None:
    RedisQueue(redis_address).set_stand_in("htdemucs", runs="starter")
    log_of_worker(
        stack,
        {"event": "model_replaced", "model": "htdemucs", "reason": "The cache has no copy. Set MODEL_REPO."},
        {"event": "model_fetch_failed", "model": "htdemucs", "reason": "The hub is away. Set MODEL_REPO."},
        {"event": "model_fetch_failed", "model": "mdx", "reason": "Another model is missing."},
    )
    model, reason = describe_model(stack)
    assert model == "starter runs in place of htdemucs. It is a small model, and its stems are weaker."
    assert reason == "The hub is away."


def test_stand_in_is_named_without_a_reason_in_the_log(stack: Stack, redis_address: RedisAddress) -> None:
    RedisQueue(redis_address).set_stand_in("htdemucs", runs="starter")
    assert describe_model(stack)[1] == "The weights of htdemucs were not found."


def test_missing_model_without_fallback_is_named(stack: Stack) -> None:
    log_of_worker(
        stack, {"event": "model_unavailable", "model": "htdemucs", "reason": "It is missing. Set X."}
    )
    assert describe_model(stack) == ["htdemucs is missing, and every song will fail.", "It is missing."]
