"""Limits a webhook response to 8 KiB, headers included."""

import io
import socket
from http.client import HTTPResponse
from typing import Any

_MAX_RESPONSE_BYTES = 8 * 1024


class LimitedResponse(HTTPResponse):
    """A response that ends after its first 8 KiB: a receiver may send headers without end."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_FirstBytes(sock.makefile("rb", buffering=0)))


class _FirstBytes(io.RawIOBase):
    def __init__(self, source: io.RawIOBase) -> None:
        self._source = source
        self._left = _MAX_RESPONSE_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        size: int | None = self._source.readinto(memoryview(buffer)[: self._left])
        self._left -= size or 0
        return size

    def close(self) -> None:
        self._source.close()
        super().close()
