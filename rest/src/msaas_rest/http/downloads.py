"""Downloads: the whole file or one range of it, streamed from the store (RFC 9110, sections 13 and 14)."""

from collections.abc import Iterator
from http import HTTPStatus
from itertools import chain
from typing import Protocol

from flask import Request, Response
from werkzeug.exceptions import RequestedRangeNotSatisfiable
from werkzeug.http import parse_range_header, quote_etag

from msaas.storage.protocol import OpenObject
from msaas_rest.file_names import disposition_of


class Read(Protocol):
    """Yields `length` bytes from `offset`. Raises before the first chunk."""

    def __call__(self, *, offset: int = 0, length: int | None = None) -> Iterator[bytes]: ...


def stream(
    request: Request, read: Read, *, size_bytes: int, etag: str, media_type: str, file_name: str
) -> Response:
    """Answer with the file as an attachment, or with the requested range of it. HEAD reads nothing.

    With `inline=1` in the query a browser shows the file. Several ranges, and units other
    than bytes, are ignored: the whole file is the answer.

    Raises:
        RequestedRangeNotSatisfiable: the range is outside the file.
    """
    disposition = disposition_of(file_name, inline=request.args.get("inline") == "1")
    if request.if_none_match.contains_weak(etag):
        return _with_headers(Response(status=HTTPStatus.NOT_MODIFIED.value), etag, disposition)
    wanted = _requested_range(request, size_bytes=size_bytes, etag=etag)
    start, stop = wanted or (0, size_bytes)
    chunks = iter(()) if request.method == "HEAD" else _open(read, start, stop)
    status = HTTPStatus.PARTIAL_CONTENT if wanted else HTTPStatus.OK
    response = Response(chunks, status=status.value, mimetype=media_type, direct_passthrough=True)
    response.content_length = stop - start
    if wanted:
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size_bytes}"
    return _with_headers(response, etag, disposition)


def _open(read: Read, start: int, stop: int) -> Iterator[bytes]:
    """Read the first chunk now: an error in it can still choose the status."""
    chunks = read(offset=start, length=stop - start)
    return chain([next(chunks, b"")], chunks)


def _with_headers(response: Response, etag: str, disposition: str) -> Response:
    response.set_etag(etag)
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["Content-Disposition"] = disposition
    return response


def _requested_range(request: Request, *, size_bytes: int, etag: str) -> tuple[int, int] | None:
    """Return the start and the end of the range, or None for the whole file."""
    if request.method != "GET" or request.headers.get("If-Range", quote_etag(etag)) != quote_etag(etag):
        return None
    wanted = parse_range_header(request.headers.get("Range"))
    if wanted is None or wanted.units != "bytes" or len(wanted.ranges) != 1:
        return None
    start, stop = wanted.ranges[0]
    if start < 0:
        # The last bytes, or all if there are fewer.
        start, stop = max(0, size_bytes + start), size_bytes
    if start >= size_bytes:
        raise RequestedRangeNotSatisfiable(size_bytes)
    return start, min(stop or size_bytes, size_bytes)


def send_object(content: OpenObject, *, media_type: str) -> Response:
    """Return a response that is read from the store while it is sent, and that no cache keeps."""
    response = Response(content.chunks, mimetype=media_type, direct_passthrough=True)
    response.content_length = content.size_bytes
    response.headers["Cache-Control"] = "no-store"
    return response


def send_constant(request: Request, content: OpenObject, *, media_type: str, etag: str) -> Response:
    """Return a response that is read from the store while it is sent, and that caches may revalidate."""
    response = send_object(content, media_type=media_type)
    response.headers.pop("Cache-Control")
    response.set_etag(etag)
    response.make_conditional(request)
    return response
