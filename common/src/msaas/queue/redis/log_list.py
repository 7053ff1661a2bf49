"""Log lines of the contract on the Redis list `logging`: `<node>.<service>.<info|debug>:<message>`."""

import logging
import queue
import socket
import threading
import time

from msaas.printable import printable
from msaas.queue.redis.clients import Connect, RedisAddress, connect

#: The list is a window on the present, not an archive.
LIST_CAP = 10_000
#: Lines that wait for a slow Redis. Further lines are dropped: a job never waits for its log.
_BUFFER_LINES = 1000
_MAX_LINE_BYTES = 4096
_RETRY_S = 0.1
_CLOSE_S = 1.0


def contract_line(*, node: str, service: str, level: str, message: str) -> str:
    """Return `<node>.<service>.<level>:<message>` on one line of at most 4 KiB in UTF-8.

    Control characters, and lone surrogates, which file names and JSON may hold, are escaped.
    """
    text = printable(" ".join(message.split()), max_chars=_MAX_LINE_BYTES)
    line = f"{node}.{service}.{level}:{text}".encode(errors="backslashreplace")
    # The cut may split a character.
    return line[:_MAX_LINE_BYTES].decode(errors="ignore")


class RedisLogHandler(logging.Handler):
    """Push contract lines from a thread of its own. An unreachable Redis costs lines, nothing else."""

    def __init__(
        self,
        address: RedisAddress,
        *,
        key: str,
        service: str,
        node: str | None = None,
        connect: Connect = connect,
    ) -> None:
        super().__init__()
        self._address, self._connect = address, connect
        self._key, self._service, self._node = key, service, node or socket.gethostname()
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._push_forever, name="redis-log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        if self._lines.qsize() >= _BUFFER_LINES:
            return
        try:
            message = self.format(record)
        except Exception:
            self.handleError(record)
            return
        level = "debug" if record.levelno <= logging.DEBUG else "info"
        self._lines.put(contract_line(node=self._node, service=self._service, level=level, message=message))

    def close(self) -> None:
        """Push the lines that wait, for a second at most."""
        self._lines.put(None)
        self._thread.join(timeout=_CLOSE_S)
        super().close()

    def _push_forever(self) -> None:
        client = self._connect(self._address)
        while (line := self._lines.get()) is not None:
            try:
                client.pipeline().lpush(self._key, line).ltrim(self._key, 0, LIST_CAP - 1).execute()
            except Exception:
                # No error ends the thread. None is logged: its line would come here as well.
                time.sleep(_RETRY_S)
