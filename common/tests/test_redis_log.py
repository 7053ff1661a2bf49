import io
import json
import logging
import sys
import time
from collections.abc import Iterator

import pytest

from common.tests.goldens import golden
from msaas import log_debug, log_info
from msaas.redis_clients import RedisAddress
from msaas.redis_log import (
    LIST_CAP,
    JsonFormatter,
    RedisLogHandler,
    contract_line,
    start_logging,
)
from tests.servers import RedisServer, free_port, wait_until
from tests.wire import wire

UNIX_S = 1767323045.25  # 2026-01-02T03:04:05.25Z


@pytest.fixture(autouse=True)
def quiet_again() -> Iterator[None]:
    yield
    logger = logging.getLogger("msaas")
    for handler in logger.handlers:
        handler.close()
    logger.handlers.clear()


def record(text: str, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("msaas", logging.INFO, __file__, 1, text, (), None)
    made.created, made.msecs, made.fields = UNIX_S, 250.0, fields
    return made


def lines(server: RedisServer, key: str = "logging") -> list[str]:
    return [line.decode() for line in server.client().lrange(key, 0, -1)]


def test_a_line_on_the_list_is_this_text(redis_server: RedisServer) -> None:
    handler = RedisLogHandler(redis_server.address, key="logging", service="worker", node="node-1")
    handler.handle(record("job claimed", songhash="aaaa", attempt=1))
    handler.close()
    assert lines(redis_server) == [golden("log_line.txt")]


def test_a_line_on_stdout_is_this_text() -> None:
    assert JsonFormatter("worker").format(record("job claimed", songhash="aaaa", attempt=1)) == golden(
        "log_stdout.json"
    )


def test_a_message_of_several_lines_is_one_line_and_has_an_end() -> None:
    line = contract_line(node="n", service="rest", level="info", message="a\nb\r\n\tc")
    assert line == "n.rest.info:a b c"
    assert len(contract_line(node="n", service="rest", level="info", message="x" * 10_000)) == 4096


def test_info_and_debug_are_named_and_the_newest_is_on_the_left(
    redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    start_logging(service="rest", level="debug", address=redis_server.address, node="n1")
    log_info("song accepted", bytes=7)
    log_debug("detail")
    wait_until(lambda: len(lines(redis_server)) == 2)
    assert lines(redis_server) == ["n1.rest.debug:detail", "n1.rest.info:song accepted bytes=7"]
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["level"], each["event"]) for each in told] == [
        ("info", "song accepted"),
        ("debug", "detail"),
    ]


def test_debug_is_silent_by_default(redis_server: RedisServer, capsys: pytest.CaptureFixture[str]) -> None:
    start_logging(service="rest", level="info", address=redis_server.address)
    log_debug("detail")
    log_info("told")
    wait_until(lambda: lines(redis_server))
    assert len(lines(redis_server)) == 1
    assert "detail" not in capsys.readouterr().out


def test_a_service_without_redis_logs_on_stdout_alone(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging(service="logs", level="info", address=None)
    log_info("started")
    assert '"started"' in capsys.readouterr().out


def test_an_exception_is_told_whole_on_stdout() -> None:
    try:
        raise ValueError("oops")
    except ValueError:
        failing = logging.LogRecord("msaas", logging.ERROR, __file__, 1, "failed", (), sys.exc_info())
    assert "ValueError: oops" in json.loads(JsonFormatter("worker").format(failing))["exception"]


def test_the_list_is_capped(redis_server: RedisServer) -> None:
    client = redis_server.client()
    client.lpush("logging", *("old" for _ in range(LIST_CAP + 50)))
    handler = RedisLogHandler(redis_server.address, key="logging", service="worker", node="n")
    handler.handle(record("new"))
    handler.close()
    assert client.llen("logging") == LIST_CAP
    assert client.lindex("logging", 0) == b"n.worker.info:new"


def test_a_lost_redis_neither_fails_nor_delays(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging(service="worker", level="info", address=RedisAddress("127.0.0.1", free_port()))
    began = time.monotonic()
    for number in range(5000):
        log_info("step", number=number)
    # 5,000 JSON lines on stdout are what this takes.
    assert time.monotonic() - began < 2
    assert len(capsys.readouterr().out.splitlines()) == 5000


def test_a_silent_redis_neither_fails_nor_delays(redis_server: RedisServer) -> None:
    with wire("127.0.0.1", redis_server.port) as between:
        between.silence()
        address = RedisAddress(between.host, between.port)
        handler = RedisLogHandler(address, key="logging", service="worker", node="n")
        began = time.monotonic()
        for _ in range(5000):
            handler.handle(record("step"))
        handler.close()
        assert time.monotonic() - began < 2


def test_lines_come_again_when_redis_is_back(redis_server: RedisServer) -> None:
    with wire("127.0.0.1", redis_server.port) as between:
        handler = RedisLogHandler(
            RedisAddress(between.host, between.port), key="logging", service="worker", node="n"
        )
        between.refuse()
        handler.handle(record("lost"))
        time.sleep(0.2)
        between.mend()
        handler.handle(record("back"))
        wait_until(lambda: "n.worker.info:back" in lines(redis_server))
        handler.close()


def test_a_full_disk_under_stdout_does_not_end_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    start_logging(service="worker", level="info", address=None)
    log_info("step")
