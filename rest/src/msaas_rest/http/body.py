"""Request bodies: read in chunks that are counted, never waited for without end."""

import time
from contextlib import suppress
from typing import Any

from gunicorn.http.errors import ParseException

from msaas.errors import MalformedRequest
from msaas_rest.http.upload_memory import Reservation

CHUNK_BYTES = 256 * 1024
#: A client that still sends when it is refused reads the answer only after its upload.
_DISCARD_S = 2.0
_INPUT = "wsgi.input"


class MeteredInput:
    """The body as the server passes it on. Each byte reserves `bytes_per_byte` bytes of memory."""

    def __init__(self, environ: dict[str, Any], *, reservation: Reservation, bytes_per_byte: int) -> None:
        self.raw = environ[_INPUT]
        self._missing_bytes = int(environ.get("CONTENT_LENGTH") or 0)
        self._reservation = reservation
        self._bytes_per_byte = bytes_per_byte

    def read(self, size: int = CHUNK_BYTES) -> bytes:
        """Return up to `size` bytes.

        Raises:
            MalformedRequest: the body is cut, or its chunked encoding is invalid.
            TooBusy: the upload memory is used up.
        """
        try:
            chunk: bytes = self.raw.read(min(size, CHUNK_BYTES))
        except ParseException as error:
            raise MalformedRequest(f"The body cannot be read: {type(error).__name__}.") from None
        if not chunk and self._missing_bytes > 0:
            raise MalformedRequest(f"The body ended {self._missing_bytes} bytes early.")
        self._missing_bytes -= len(chunk)
        self._reservation.take(len(chunk) * self._bytes_per_byte)
        return chunk


def meter(environ: dict[str, Any], *, reservation: Reservation, bytes_per_byte: int) -> None:
    """Count the body of this request."""
    environ[_INPUT] = MeteredInput(environ, reservation=reservation, bytes_per_byte=bytes_per_byte)


def discard_rest(environ: dict[str, Any]) -> None:
    """Read on for a moment after a refusal, so that a client that still sends can read it."""
    metered = environ[_INPUT]
    raw = metered.raw if isinstance(metered, MeteredInput) else metered
    deadline = time.monotonic() + _DISCARD_S
    if sock := environ.get("gunicorn.socket"):
        sock.settimeout(_DISCARD_S)
    with suppress(OSError, ParseException):
        while raw.read(CHUNK_BYTES) and time.monotonic() < deadline:
            pass
