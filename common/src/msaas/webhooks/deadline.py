"""Deadline of an exchange: timeouts of `requests` restart with each byte."""

import socket
import threading
import time
from contextlib import suppress
from typing import Self


class Deadline:
    """Cuts the connections at the end of its time."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._wait, name="deadline", daemon=True)
        self._twins: list[socket.socket] = []
        self.is_over = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        for twin in self._twins:
            twin.close()

    def extend_to(self, end: float) -> None:
        """Move the end to this monotonic time. An earlier one changes nothing."""
        self._end = max(self._end, end)

    def watch(self, connection: socket.socket) -> None:
        # TLS takes the socket over. A duplicate still reaches the connection.
        self._twins.append(connection.dup())
        if self.is_over:
            self.cut()

    def cut(self) -> None:
        """End the exchange now. Its connections, and those of later steps, are cut."""
        self.is_over = True
        for twin in self._twins:
            with suppress(OSError):
                twin.shutdown(socket.SHUT_RDWR)

    def _wait(self) -> None:
        while (left_s := self._end - time.monotonic()) > 0:
            if self._done.wait(left_s):
                return
        self.cut()
