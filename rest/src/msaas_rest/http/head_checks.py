"""Limits of the request line and the headers, which the parser does not have."""

from flask import Request
from werkzeug.exceptions import (
    HTTPVersionNotSupported,
    RequestHeaderFieldsTooLarge,
    RequestURITooLarge,
)

from msaas.errors import MalformedRequest

_VERSIONS = {"HTTP/1.0", "HTTP/1.1"}
_MAX_TARGET_CHARACTERS = 8 * 1024
_MAX_HEADER_CHARACTERS = 32 * 1024


def check_head(request: Request) -> None:
    """Check the version, the sizes, and that the body has one length (RFC 9112, section 6.1).

    Raises:
        MalformedRequest: the body has two lengths. A proxy in front may have read the other one.
        HTTPVersionNotSupported, RequestURITooLarge, RequestHeaderFieldsTooLarge: the request is refused.
    """
    if request.environ["SERVER_PROTOCOL"] not in _VERSIONS:
        raise HTTPVersionNotSupported("The version is not supported. Use HTTP/1.1.")
    if has_two_lengths(request):
        raise MalformedRequest("The request has both Content-Length and Transfer-Encoding. Send one of them.")
    if len(request.path) + len(request.query_string) > _MAX_TARGET_CHARACTERS:
        raise RequestURITooLarge(f"The URL is too long. The limit is {_MAX_TARGET_CHARACTERS} characters.")
    if sum(len(name) + len(value) for name, value in request.headers) > _MAX_HEADER_CHARACTERS:
        raise RequestHeaderFieldsTooLarge(
            f"The headers are too long. The limit is {_MAX_HEADER_CHARACTERS} characters."
        )


def has_two_lengths(request: Request) -> bool:
    """Return whether the end of the body is ambiguous, so that the connection ends with the answer."""
    return "Transfer-Encoding" in request.headers and "Content-Length" in request.headers
