"""A request's body is read in pieces that are counted, and never waited for in vain."""

import time
from contextlib import suppress
from typing import Any

from gunicorn.http.errors import ParseException

from msaas.errors import MalformedRequest
from msaas_rest.budget import Share

PIECE_BYTES = 256 * 1024
#: A client that is still sending when it is refused hears of it only if its sending gets through.
_DISCARD_S = 2.0
_INPUT = "wsgi.input"


class MeteredInput:
    """The body as the server hands it over; each byte takes `weight` bytes of the budget."""

    def __init__(self, environ: dict[str, Any], *, share: Share, weight: int) -> None:
        self.raw = environ[_INPUT]
        self._missing_bytes = int(environ.get("CONTENT_LENGTH") or 0)
        self._share = share
        self._weight = weight

    def read(self, size: int = PIECE_BYTES) -> bytes:
        """Return up to `size` bytes.

        Raises:
            MalformedRequest: the body is cut short, or its chunks are none.
            TooBusy: the budget is spent.
        """
        try:
            piece: bytes = self.raw.read(min(size, PIECE_BYTES))
        except ParseException as error:
            raise MalformedRequest(type(error).__name__) from None
        if not piece and self._missing_bytes > 0:
            raise MalformedRequest(f"The body ended {self._missing_bytes} bytes early.")
        self._missing_bytes -= len(piece)
        self._share.take(len(piece) * self._weight)
        return piece


def meter(environ: dict[str, Any], *, share: Share, weight: int) -> None:
    environ[_INPUT] = MeteredInput(environ, share=share, weight=weight)


def discard_rest(environ: dict[str, Any]) -> None:
    """Read on for a moment after an answer, so that a client in the middle of its upload sees it."""
    metered = environ[_INPUT]
    raw = metered.raw if isinstance(metered, MeteredInput) else metered
    deadline = time.monotonic() + _DISCARD_S
    if sock := environ.get("gunicorn.socket"):
        sock.settimeout(_DISCARD_S)
    with suppress(OSError, ParseException):
        while raw.read(PIECE_BYTES) and time.monotonic() < deadline:
            pass
