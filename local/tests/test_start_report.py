"""The report of the start, against a real queue and an HTTP server in place of the API."""

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from msaas.queue.abilities import Abilities
from msaas.queue.redis.clients import RedisAddress
from msaas.queue.redis.jobs import RedisQueue
from msaas_local.processes import Connection, Process
from msaas_local.settings import LocalSettings
from msaas_local.stack import Stack
from msaas_local.start_report import StartReport, describe_model
from msaas_local.supervisor import Supervisor

SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")


@dataclass
class Api:
    """Answers `/readyz` as `rest` does, with 503 until it is ready, or `reply` as another server does."""

    port: int = 0
    is_ready: bool = False
    reply: tuple[int, str, str] | None = None

    def answer(self) -> tuple[int, str, str]:
        """Return status, media type and body."""
        if self.reply:
            return self.reply
        if self.is_ready:
            return 200, "application/json", '{"queue": "ok", "store": "ok", "workers": 7}'
        return 503, "application/problem+json", '{"status": 503}'


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, media_type, body = api.answer()
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        api.port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield api
        server.shutdown()


@pytest.fixture
def messages() -> list[str]:
    return []


@pytest.fixture
def stack(api: Api, redis_address: RedisAddress, tmp_path: Path, messages: list[str]) -> Iterator[Stack]:
    """A stack whose two workers only sleep."""
    settings = LocalSettings(msaas_home=tmp_path, port=api.port, demucs_model="htdemucs", workers=2)
    workers = [Process(f"worker-{number}", SLEEP) for number in (1, 2)]
    supervisor = Supervisor(settings.log_dir, messages.append, grace_s=0.5)
    supervisor.start(workers)
    yield Stack(
        settings=settings,
        connection=Connection(
            queue={"REDIS_PORT": str(redis_address.port)}, store={"STORE_DIR": str(tmp_path / "store")}
        ),
        processes=workers,
        supervisor=supervisor,
    )
    supervisor.stop()


def register(stack: Stack, *names: str) -> None:
    """Register workers of the stack in the queue, as their processes do."""
    for name in names:
        register_worker(stack, f"{socket.gethostname()}-{stack.supervisor.pids()[name]}-0123abcd")


def register_worker(stack: Stack, name: str) -> None:
    RedisQueue(RedisAddress("127.0.0.1", stack.connection.redis_port)).consumer(name).heartbeat()


def log_of_worker(stack: Stack, *lines: dict[str, str]) -> None:
    text = "A library wrote this line.\n" + "".join(json.dumps(line) + "\n" for line in lines)
    (stack.settings.log_dir / "worker-1.log").write_text(text)


def test_each_step_is_said_once(stack: Stack, api: Api, messages: list[str]) -> None:
    report = StartReport(stack, messages.append)
    assert not report.update()
    assert messages == []
    log_of_worker(stack, {"event": "torch_loading"})
    api.is_ready = True
    register(stack, "worker-1")
    assert not report.update()
    log_of_worker(stack, {"event": "torch_loading"}, {"event": "model_loading", "model": "htdemucs"})
    assert not report.update()
    assert not report.update()
    assert [message.split(": ", 1)[1] for message in messages] == [
        f"the API accepts songs at http://127.0.0.1:{api.port}",
        "worker-1 loads torch",
        "worker-1 loads htdemucs",
    ]
    register(stack, "worker-2")
    assert report.update()
    assert messages[3].startswith(f"ready at http://127.0.0.1:{api.port} after ")
    said = list(messages)
    assert report.update()
    assert messages == said


def test_leases_of_killed_workers_do_not_count(stack: Stack, api: Api) -> None:
    """They are in the AOF of the queue for up to a minute after a kill of the stack."""
    api.is_ready = True
    assert stack.live_workers() == 0
    register_worker(stack, f"{socket.gethostname()}-1-0123abcd")
    register_worker(stack, f"elsewhere-{stack.supervisor.pids()['worker-1']}-0123abcd")
    assert stack.live_workers() == 0
    register(stack, "worker-1")
    assert stack.live_workers() == 1


@pytest.mark.parametrize(
    "reply",
    [
        (200, "text/html", "<h1>Hello</h1>"),
        (200, "application/json", '{"status": "ok"}'),
        (200, "application/json", "[]"),
        (403, "text/plain", ""),
        (404, "application/json", '{"detail": "Not Found"}'),
    ],
)
def test_another_server_on_the_port_is_named(stack: Stack, api: Api, reply: tuple[int, str, str]) -> None:
    api.reply = reply
    with pytest.raises(SystemExit) as ended:
        stack.live_workers()
    assert ended.value.code == (
        f"Another server answers at http://127.0.0.1:{api.port}. "
        f"Stop it, or choose another port, for example: make up PORT={api.port + 1}"
    )


def test_waiting_is_said_at_growing_intervals(stack: Stack, messages: list[str]) -> None:
    report = StartReport(replace(stack, started_at=time.monotonic() - 6), messages.append)
    report.update()
    report.update()
    assert [message.split(": ", 1)[1] for message in messages] == ["waiting for the API"]


def test_ready_lines_name_queue_and_store(stack: Stack, api: Api, messages: list[str]) -> None:
    api.is_ready = True
    register(stack, "worker-1", "worker-2")
    StartReport(stack, messages.append).update()
    text = "\n".join(messages)
    port, store = stack.connection.redis_port, stack.settings.msaas_home / "store"
    assert f"redis-cli -p {port}" in text
    assert f"REDIS_PORT={port} STORE_DIR={store} .venv/bin/python worker/send-request.py" in text


def test_default_model_that_runs_is_named(stack: Stack) -> None:
    assert describe_model(stack) == ["htdemucs"]


def test_stand_in_is_named_with_its_reason(stack: Stack, redis_address: RedisAddress) -> None:
    RedisQueue(redis_address).consumer("w1").announce(Abilities({"htdemucs": "starter"}))
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
    RedisQueue(redis_address).consumer("w1").announce(Abilities({"htdemucs": "starter"}))
    assert describe_model(stack)[1] == "The weights of htdemucs were not found."


def test_missing_model_without_fallback_is_named(stack: Stack) -> None:
    log_of_worker(
        stack, {"event": "model_unavailable", "model": "htdemucs", "reason": "It is missing. Set X."}
    )
    assert describe_model(stack) == ["htdemucs is missing, and every song will fail.", "It is missing."]


def test_download_of_a_missing_model_is_named(stack: Stack) -> None:
    log_of_worker(stack, {"event": "model_download_started", "model": "htdemucs"})
    assert describe_model(stack) == ["htdemucs is being downloaded. Songs wait for it."]
    log_of_worker(
        stack,
        {"event": "model_download_started", "model": "htdemucs"},
        {"event": "model_fetch_failed", "model": "htdemucs", "reason": "The hub is away. Set X."},
    )
    assert describe_model(stack) == ["htdemucs is missing, and every song will fail.", "The hub is away."]
