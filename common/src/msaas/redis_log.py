"""What happens is told twice: a JSON line on stdout, a line of the contract on the list `logging`."""

import json
import logging
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import redis

from msaas.redis_clients import Client, RedisAddress, connect

#: The list is a window on the present, not an archive.
LIST_CAP = 10_000
#: Lines that wait for a slow Redis; beyond it they are dropped, a job never waits for its log.
_BUFFER_LINES = 1000
_MAX_LINE_BYTES = 4096

_logger = logging.getLogger("msaas")


def log_info(text: str, **fields: Any) -> None:
    """Tell a step of a job. Never fails, never blocks."""
    _logger.info(text, extra={"fields": fields})


def log_debug(text: str, **fields: Any) -> None:
    """Tell a detail. Never fails, never blocks."""
    _logger.debug(text, extra={"fields": fields})


def contract_line(*, node: str, service: str, level: str, message: str) -> str:
    """Return `<node>.<service>.<level>:<message>` on one line."""
    return f"{node}.{service}.{level}:{' '.join(message.split())}"[:_MAX_LINE_BYTES]


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, service, event, fields."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "service": self._service,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class RedisLogHandler(logging.Handler):
    """Pushes contract lines from a thread of its own; a lost Redis costs lines, nothing else."""

    def __init__(self, address: RedisAddress, *, key: str, service: str, node: str) -> None:
        super().__init__()
        self._connect: Callable[[], Client] = lambda: connect(address)
        self._key, self._service, self._node = key, service, node
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._push_forever, name="redis-log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        if self._lines.qsize() < _BUFFER_LINES:
            level = "debug" if record.levelno <= logging.DEBUG else "info"
            self._lines.put(
                contract_line(
                    node=self._node, service=self._service, level=level, message=_with_fields(record)
                )
            )

    def close(self) -> None:
        """Give the last lines a moment, then let go."""
        self._lines.put(None)
        self._thread.join(timeout=1.0)
        super().close()

    def _push_forever(self) -> None:
        client = self._connect()
        while (line := self._lines.get()) is not None:
            try:
                client.pipeline().lpush(self._key, line).ltrim(self._key, 0, LIST_CAP - 1).execute()
            except (redis.exceptions.RedisError, OSError):
                time.sleep(0.1)


def _with_fields(record: logging.LogRecord) -> str:
    fields = getattr(record, "fields", {})
    return " ".join([record.getMessage(), *(f"{name}={value}" for name, value in fields.items())])


def start_logging(
    *, service: str, level: str, address: RedisAddress | None, key: str = "logging", node: str | None = None
) -> None:
    """Set up the process: stdout always, the Redis list when there is an address."""
    stdout = logging.StreamHandler(sys.stdout)
    stdout.setFormatter(JsonFormatter(service))
    handlers: list[logging.Handler] = [stdout]
    if address:
        handlers.append(RedisLogHandler(address, key=key, service=service, node=node or socket.gethostname()))
    _logger.handlers[:] = handlers
    _logger.setLevel(level.upper())
    _logger.propagate = False
