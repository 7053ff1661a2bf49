"""Songs of URLs: a handler opens a URL, and has the whole file."""

from typing import BinaryIO, Protocol

from flask import Request

from msaas.errors import MsaasError

#: Key of the fetched file in the environment of a request.
FETCHED = "msaas.fetched"


class FetchWanted(BaseException):
    """A handler opens a URL that was not fetched yet.

    The server fetches it and calls the app again, as for `BodyWanted`: a fetch in progress costs no thread of
    the app.
    """

    def __init__(self, url: str, *, max_bytes: int, client: str, outlives_client: bool) -> None:
        super().__init__()
        self.url = url
        self.max_bytes = max_bytes
        self.client = client
        self.outlives_client = outlives_client


class Fetched(Protocol):
    def open(self) -> BinaryIO: ...


class FetchedFile:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def open(self) -> BinaryIO:
        self._file.seek(0)
        return self._file


class FailedFetch:
    """A URL that could not be fetched."""

    def __init__(self, error: MsaasError | OSError) -> None:
        self._error = error

    def open(self) -> BinaryIO:
        raise self._error


def open_url(
    request: Request, url: str, *, max_bytes: int, client: str, outlives_client: bool = False
) -> BinaryIO:
    """Return the file that the URL names, which the server closes.

    Args:
        max_bytes: a longer file is refused.
        client: shares the fetches and the disk with the other clients.
        outlives_client: the fetch goes on when the client closes the connection.

    Raises:
        UrlRefused: the URL is malformed, or leads to a private address.
        UrlUnreachable: its server does not answer with a file, or too slowly.
        SongTooLarge: the file is too large.
        TooBusy: too many fetches are in progress, or the disk has no room.
    """
    fetched: Fetched | None = request.environ.get(FETCHED)
    if fetched is None:
        raise FetchWanted(url, max_bytes=max_bytes, client=client, outlives_client=outlives_client)
    return fetched.open()
