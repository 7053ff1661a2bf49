"""Log lines: JSON on stdout, contract lines on the Redis list."""

import io
import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from common.tests.goldens import golden
from msaas import log_debug, log_info
from msaas.background import spawn
from msaas.logs import bind_log, clear_log, configure_logging, get_logger, log_context
from msaas.queue.redis.clients import RedisAddress, connect
from msaas.queue.redis.log_list import LIST_CAP, RedisLogHandler, contract_line
from tests.servers import RedisServer, free_port, wait_until
from tests.tcp_proxy import tcp_proxy

log = get_logger()


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    # Tests that ran before in this thread may have bound fields.
    clear_log()
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    for handler in set(root.handlers) - set(before):
        handler.close()
    root.handlers[:] = before
    root.setLevel(level)


def configure(
    address: RedisAddress | None = None, *, level: str = "info", service: str = "worker", **fields: str
) -> None:
    handlers = [RedisLogHandler(address, key="logging", service=service, node="node-1")] if address else []
    configure_logging(service=service, level=level, handlers=handlers, fields=fields)


def lines(server: RedisServer) -> list[str]:
    return [line.decode() for line in server.client().lrange("logging", 0, -1)]


def printed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_line_on_the_list_has_its_golden_text(redis_server: RedisServer) -> None:
    configure(redis_server.address)
    log_info("job claimed", job_id="aaaa", attempt=1)
    wait_until(lambda: lines(redis_server))
    assert lines(redis_server) == [golden("log_line.txt")]


def test_line_on_stdout_has_its_golden_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    log_info("job claimed", job_id="aaaa", attempt=1)
    line = capsys.readouterr().out.rstrip("\n")
    time_text = json.loads(line)["time"]
    assert time_text.endswith("Z")
    assert line.replace(time_text, "<time>") == golden("log_stdout.json")


def test_contract_line_is_one_line_of_limited_length() -> None:
    line = contract_line(node="n", service="rest", level="info", message="a\nb\r\n\tc")
    assert line == "n.rest.info:a b c"
    assert len(contract_line(node="n", service="rest", level="info", message="x" * 10_000)) == 4096


def test_contract_line_is_cut_between_characters_at_its_limit_in_bytes() -> None:
    line = contract_line(node="n", service="rest", level="info", message="€" * 10_000)
    assert 4093 < len(line.encode()) <= 4096
    assert line.endswith("€")


def test_contract_line_escapes_lone_surrogates() -> None:
    line = contract_line(node="n", service="rest", level="info", message="a\ud800b")
    assert line == "n.rest.info:a\\ud800b"


def test_line_that_has_no_utf_8_does_not_end_the_thread(redis_server: RedisServer) -> None:
    configure(redis_server.address)
    log_info("first", name="\udcff")
    log_info("second")
    wait_until(lambda: len(lines(redis_server)) == 2)
    assert lines(redis_server) == ["node-1.worker.info:second", "node-1.worker.info:first name=\\udcff"]


def test_unforeseen_exception_does_not_end_the_thread_of_the_list(redis_server: RedisServer) -> None:
    is_broken = threading.Event()
    is_broken.set()

    def connect_to_broken(address: RedisAddress, **options: Any) -> Any:
        client = connect(address, **options)
        pipeline = client.pipeline

        def open_pipeline() -> Any:
            if is_broken.is_set():
                is_broken.clear()
                raise ZeroDivisionError
            return pipeline()

        client.pipeline = open_pipeline
        return client

    handler = RedisLogHandler(
        redis_server.address, key="logging", service="worker", node="node-1", connect=connect_to_broken
    )
    configure_logging(service="worker", level="info", handlers=[handler])
    log_info("lost")
    wait_until(lambda: not is_broken.is_set())
    log_info("back")
    wait_until(lambda: lines(redis_server) == ["node-1.worker.info:back"])


def test_newest_line_is_on_the_left_and_levels_are_named(redis_server: RedisServer) -> None:
    configure(redis_server.address, level="debug", service="rest")
    log_info("song accepted", bytes=7)
    log_debug("detail")
    wait_until(lambda: len(lines(redis_server)) == 2)
    assert lines(redis_server) == ["node-1.rest.debug:detail", "node-1.rest.info:song accepted bytes=7"]


def test_severity_of_a_failure_is_told_on_the_list(redis_server: RedisServer) -> None:
    configure(redis_server.address)
    log.error("job_failed", job_id="aaaa")
    wait_until(lambda: lines(redis_server))
    assert lines(redis_server) == ["node-1.worker.info:job_failed job_id=aaaa level=error"]


def test_level_info_hides_debug(redis_server: RedisServer, capsys: pytest.CaptureFixture[str]) -> None:
    configure(redis_server.address)
    log_debug("detail")
    log_info("step")
    wait_until(lambda: lines(redis_server))
    assert len(lines(redis_server)) == 1
    assert [line["event"] for line in printed(capsys)] == ["step"]


def test_level_warning_shows_failures_only(capsys: pytest.CaptureFixture[str]) -> None:
    configure(level="warning")
    log.info("step")
    log.warning("queue_unavailable")
    log.error("job_failed")
    assert [line["level"] for line in printed(capsys)] == ["warning", "error"]


def test_fields_of_the_process_and_the_context_stand_in_every_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(worker="w1")
    with log_context(job_id="aaaa"):
        log.info("job_claimed")
        bind_log(model="starter")
        log.info("song_decoded")
    log.info("worker_stopped")
    first, second, last = printed(capsys)
    assert (first["worker"], first["job_id"], "model" in first) == ("w1", "aaaa", False)
    assert (second["job_id"], second["model"]) == ("aaaa", "starter")
    assert "job_id" not in last
    assert "model" not in last


def test_spawned_thread_inherits_the_context(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    with log_context(job_id="aaaa"):
        spawn(log.info, "fragment_stored", name="t").join()
    assert printed(capsys)[0]["job_id"] == "aaaa"


def test_exception_has_its_traceback_on_stdout_and_its_name_on_the_list(
    redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(redis_server.address)
    try:
        raise ValueError("oops")
    except ValueError:
        log.exception("job_failed")
    [line] = printed(capsys)
    assert "Traceback" in str(line["exception"])
    assert "ValueError: oops" in str(line["exception"])
    wait_until(lambda: lines(redis_server))
    assert lines(redis_server) == ["node-1.worker.info:job_failed exception=ValueError: oops level=error"]


def test_lines_of_libraries_have_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure(worker="w1")
    with log_context(job_id="aaaa"):
        logging.getLogger("huggingface_hub").warning("slow %s", "download")
        logging.getLogger("huggingface_hub").info("hidden")
    [line] = printed(capsys)
    facts = {name: line[name] for name in ("level", "service", "event", "logger", "worker", "job_id")}
    assert facts == {
        "level": "warning",
        "service": "worker",
        "event": "slow download",
        "logger": "huggingface_hub",
        "worker": "w1",
        "job_id": "aaaa",
    }


def test_list_is_capped(redis_server: RedisServer) -> None:
    client = redis_server.client()
    client.lpush("logging", *("old" for _ in range(LIST_CAP + 50)))
    configure(redis_server.address)
    log_info("new")
    wait_until(lambda: client.lindex("logging", 0) == b"node-1.worker.info:new")
    wait_until(lambda: client.llen("logging") == LIST_CAP)


def test_unreachable_redis_neither_fails_nor_delays(capsys: pytest.CaptureFixture[str]) -> None:
    configure(RedisAddress("127.0.0.1", free_port()))
    began = time.monotonic()
    for number in range(5000):
        log_info("step", number=number)
    # Most of it is 5,000 JSON lines on stdout.
    assert time.monotonic() - began < 3
    assert len(capsys.readouterr().out.splitlines()) == 5000


def test_silent_redis_neither_fails_nor_delays(redis_server: RedisServer) -> None:
    with tcp_proxy("127.0.0.1", redis_server.port) as proxy:
        proxy.silence()
        configure(RedisAddress(proxy.host, proxy.port))
        began = time.monotonic()
        for _ in range(5000):
            log_info("step")
        assert time.monotonic() - began < 3


def test_lines_are_pushed_again_after_an_outage(redis_server: RedisServer) -> None:
    with tcp_proxy("127.0.0.1", redis_server.port) as proxy:
        configure(RedisAddress(proxy.host, proxy.port))
        log_info("before")
        wait_until(lambda: lines(redis_server))
        proxy.refuse()
        log_info("refused")
        wait_until(lambda: proxy.refused)
        proxy.mend()
        log_info("back")
        wait_until(lambda: lines(redis_server)[0] == "node-1.worker.info:back")


def test_full_disk_under_stdout_costs_no_line_of_the_list(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.StringIO):
        tries = 0

        def write(self, text: str) -> int:
            Full.tries += 1
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    configure(redis_server.address)
    log_info("step")
    log_info("next step")
    assert Full.tries == 2
    wait_until(lambda: len(lines(redis_server)) == 2)
    assert lines(redis_server) == ["node-1.worker.info:next step", "node-1.worker.info:step"]


def test_lines_of_many_threads_keep_their_own_context(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    barrier = threading.Barrier(4)

    def work(number: int) -> None:
        with log_context(job_id=str(number)):
            barrier.wait()
            log.info("step", number=str(number))

    threads = [spawn(work, number, name=f"t{number}") for number in range(4)]
    for thread in threads:
        thread.join()
    assert all(line["job_id"] == line["number"] for line in printed(capsys))


# Text from outside

#: Escape sequences (C0, C1), line separators, reversed text, a lone surrogate.
HOSTILE = "\x1b[2J\x07\x9b31m\r\n\x85\u2028\u202eforged\udcff"
ESCAPED = r"\x1b[2J\x07\x9b31m\r\n\x85\u2028\u202eforged\udcff"


def test_values_are_printable_and_cut(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    log.info("request_refused", path=HOSTILE, detail="ü" * 2000)
    (line,) = printed(capsys)
    assert line["path"] == ESCAPED
    assert line["detail"] == "ü" * 999 + "…"


def test_lines_of_libraries_and_tracebacks_are_printable(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    try:
        raise ValueError(HOSTILE)
    except ValueError as error:
        logging.getLogger("library").warning("cannot read %s", HOSTILE, exc_info=error)
    (line,) = printed(capsys)
    assert line["event"] == f"cannot read {ESCAPED}"
    exception = str(line["exception"])
    assert exception.startswith("Traceback")
    assert exception.replace("\n", "").isprintable()


def test_line_on_the_list_is_printable(redis_server: RedisServer) -> None:
    configure(redis_server.address)
    log.info("request_refused", path=HOSTILE, job_id=object)
    logging.getLogger("library").warning("cannot read %s", HOSTILE)
    wait_until(lambda: len(lines(redis_server)) == 2)
    assert all(line.isprintable() for line in lines(redis_server))
    assert ESCAPED in lines(redis_server)[0]
