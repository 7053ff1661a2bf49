"""The transport of a connection whose client may be sending an upload that was refused."""

import asyncio
from collections.abc import Callable
from typing import Any


class LingeringTransport:
    """Ends its own side alone when it is closed during an upload: the client may send on.

    A socket that is closed with unread bytes is reset. The answer that the client has not read is lost then.
    """

    def __init__(self, transport: asyncio.Transport, *, is_receiving: Callable[[], bool]) -> None:
        self._transport = transport
        self._is_receiving = is_receiving
        self.has_ended = False

    def close(self) -> None:
        if self._is_receiving() and not self.has_ended and not self._transport.is_closing():
            self.has_ended = True
            self._transport.write_eof()
        else:
            self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
