"""Request bodies: a handler opens the body, and has it whole, as a file."""

import shutil
from tempfile import TemporaryFile
from typing import BinaryIO, Protocol

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wsgi import get_input_stream

from msaas.errors import MsaasError, SongTooLarge

#: Key of the body in the environment of a request.
BODY = "msaas.body"


class Body(Protocol):
    """The body of a request. `copies` is the number of times that it will lie on the disk."""

    def open(self, max_bytes: int, *, copies: int, client: str) -> BinaryIO: ...


class BodyWanted(BaseException):
    """A handler opens a body that was not received yet.

    The server receives it and calls the app again. So a refused request costs no upload, and an upload in
    progress costs no thread. It derives from `BaseException`, so that no handler catches it.
    """

    def __init__(self, max_bytes: int, *, copies: int, client: str) -> None:
        super().__init__()
        self.max_bytes = max_bytes
        self.copies = copies
        self.client = client


class UnreceivedBody:
    def open(self, max_bytes: int, *, copies: int, client: str) -> BinaryIO:
        raise BodyWanted(max_bytes, copies=copies, client=client)


class ReceivedBody:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def open(self, max_bytes: int, *, copies: int, client: str) -> BinaryIO:
        if self._file.seek(0, 2) > max_bytes:
            raise too_large(max_bytes)
        self._file.seek(0)
        return self._file


class FailedBody:
    """A body that could not be received."""

    def __init__(self, error: MsaasError | OSError) -> None:
        self._error = error

    def open(self, max_bytes: int, *, copies: int, client: str) -> BinaryIO:
        raise self._error


def too_large(max_bytes: int) -> SongTooLarge:
    return SongTooLarge(f"The body is too large. The limit is {max_bytes} bytes.")


def open_body(request: Request, *, max_bytes: int, copies: int = 1, client: str) -> BinaryIO:
    """Return the whole body as a file, which the server closes.

    Args:
        max_bytes: a longer body is refused.
        copies: how many times the handler will hold the body on the disk.
        client: shares the disk with the other clients.

    Raises:
        SongTooLarge: the body is too large.
        MalformedRequest: the body is cut.
        UploadTooSlow, TooBusy: the body takes too long, or the disk has no room for it.
    """
    if (request.content_length or 0) > max_bytes:
        raise too_large(max_bytes)
    body: Body = request.environ.get(BODY) or ReceivedBody(_read(request, max_bytes))
    file = body.open(max_bytes, copies=copies, client=client)
    request.environ["wsgi.input"] = file
    request.environ["wsgi.input_terminated"] = True
    return file


def _read(request: Request, max_bytes: int) -> BinaryIO:
    """Read the body of a server that passes it on as it arrives, as that of the tests does."""
    file = TemporaryFile()  # noqa: SIM115 - it is deleted with the request
    request.max_content_length = max_bytes
    try:
        # Not `request.stream`: it would stay the stream of the request, at its end.
        shutil.copyfileobj(get_input_stream(request.environ, max_content_length=max_bytes), file)
    except RequestEntityTooLarge:
        raise too_large(max_bytes) from None
    return file
