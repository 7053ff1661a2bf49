"""The logs service prints every line of the list, also after outages of Redis."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from msaas.queue.redis.log_list import contract_line
from tests.servers import RedisServer, redis_running, wait_until

_TIMEOUT_S = 20


class Logs:
    def __init__(self, redis_port: int, output: Path, **environment: str) -> None:
        self._output = output
        env = {**os.environ, "REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(redis_port), **environment}
        with open(output, "wb") as file:
            command = [sys.executable, "-m", "msaas_logs"]
            self.process = subprocess.Popen(command, env=env, stdout=file, stderr=file)

    @property
    def printed(self) -> list[str]:
        return self._output.read_text().splitlines()

    def lines(self) -> list[str]:
        """Return the printed lines of other services, without its own log."""
        return [line for line in self.printed if not line.startswith("{")]


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Callable[..., Logs]]:
    started: list[Logs] = []

    def start(port: int, **environment: str) -> Logs:
        started.append(Logs(port, tmp_path / f"logs-{len(started)}.txt", **environment))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_running(tmp_path / "redis", aof=True) as server:
        yield server


def push(server: RedisServer, *messages: str) -> list[str]:
    lines = [contract_line(node="n1", service="worker", level="info", message=each) for each in messages]
    with server.client() as client:
        for line in lines:
            client.lpush("logging", line)
    return lines


def test_lines_are_printed_oldest_first(redis_server: RedisServer, logs: Callable[..., Logs]) -> None:
    expected = push(redis_server, "one", "two", "three")
    service = logs(redis_server.port)
    wait_until(lambda: len(service.lines()) == 3)
    expected += push(redis_server, "four")
    wait_until(lambda: len(service.lines()) == 4)
    assert service.lines() == expected
    assert service.lines()[0] == "n1.worker.info:one"
    assert redis_server.client().llen("logging") == 0


def test_printing_continues_after_an_outage_of_redis(
    own_redis: RedisServer, logs: Callable[..., Logs]
) -> None:
    expected = push(own_redis, "before")
    service = logs(own_redis.port)
    wait_until(lambda: service.lines() == expected)
    own_redis.kill()
    wait_until(lambda: any('"queue_unavailable"' in line for line in service.printed))
    own_redis.start()
    expected += push(own_redis, "after")
    wait_until(lambda: service.lines() == expected)
    assert service.process.poll() is None
    events = [json.loads(line)["event"] for line in service.printed if line.startswith("{")]
    assert events == ["queue_unavailable", "queue_available"]


def test_service_may_start_before_redis(own_redis: RedisServer, logs: Callable[..., Logs]) -> None:
    own_redis.kill()
    service = logs(own_redis.port)
    wait_until(lambda: any('"queue_unavailable"' in line for line in service.printed))
    own_redis.start()
    expected = push(own_redis, "hello")
    wait_until(lambda: service.lines() == expected)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("redis", ["up", "down", "silent"])
def test_signal_ends_the_service_with_code_0(
    own_redis: RedisServer, logs: Callable[..., Logs], number: signal.Signals, redis: str
) -> None:
    expected = push(own_redis, "hello")
    service = logs(own_redis.port)
    wait_until(lambda: service.lines() == expected)
    if redis == "down":
        own_redis.kill()
    elif redis == "silent":
        own_redis.pause()
    service.process.send_signal(number)
    assert service.process.wait(timeout=_TIMEOUT_S) == 0
    own_redis.resume()


def test_name_of_the_list_is_a_setting(redis_server: RedisServer, logs: Callable[..., Logs]) -> None:
    redis_server.client().lpush("other", "n2.rest.info:hello")
    service = logs(redis_server.port, REDIS_LOG_KEY="other")
    wait_until(lambda: service.lines() == ["n2.rest.info:hello"])


def test_invalid_utf8_is_printed_with_replacements(
    redis_server: RedisServer, logs: Callable[..., Logs]
) -> None:
    service = logs(redis_server.port)
    redis_server.client().lpush("logging", b"\xff\xfe")
    expected = push(redis_server, "next")
    wait_until(lambda: service.lines()[-1:] == expected)


def test_check_config_masks_secrets() -> None:
    env = {**os.environ, "REDIS_PASSWORD": "hidden"}
    command = [sys.executable, "-m", "msaas_logs", "--check-config"]
    shown = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    assert "REDIS_LOG_KEY=logging" in shown
    assert "hidden" not in shown


def test_heartbeat_continues_during_an_outage_of_redis(
    logs: Callable[..., Logs], own_redis: RedisServer, tmp_path: Path
) -> None:
    service = logs(own_redis.port, TMPDIR=str(tmp_path))
    heartbeat = tmp_path / "msaas-logs-heartbeat"
    wait_until(heartbeat.exists)
    own_redis.kill()
    wait_until(lambda: any("queue_unavailable" in line for line in service.printed))
    since = heartbeat.stat().st_mtime_ns
    wait_until(lambda: heartbeat.stat().st_mtime_ns > since)
    service.process.send_signal(signal.SIGSTOP)
    last = heartbeat.stat().st_mtime_ns
    time.sleep(3)
    assert heartbeat.stat().st_mtime_ns == last
