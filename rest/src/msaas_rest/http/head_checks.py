"""Limits of the request line and the headers, which the parser does not have."""

from flask import Request
from werkzeug.exceptions import (
    HTTPVersionNotSupported,
    RequestHeaderFieldsTooLarge,
    RequestURITooLarge,
)

_VERSIONS = {"HTTP/1.0", "HTTP/1.1"}
_MAX_TARGET_CHARACTERS = 8 * 1024
_MAX_HEADER_CHARACTERS = 32 * 1024


def check_head(request: Request) -> None:
    """Check the version and the sizes.

    Raises:
        HTTPVersionNotSupported, RequestURITooLarge, RequestHeaderFieldsTooLarge: the request is refused.
    """
    if request.environ["SERVER_PROTOCOL"] not in _VERSIONS:
        raise HTTPVersionNotSupported("The version is not supported. Use HTTP/1.1.")
    if len(request.path) + len(request.query_string) > _MAX_TARGET_CHARACTERS:
        raise RequestURITooLarge(f"The URL is too long. The limit is {_MAX_TARGET_CHARACTERS} characters.")
    if sum(len(name) + len(value) for name, value in request.headers) > _MAX_HEADER_CHARACTERS:
        raise RequestHeaderFieldsTooLarge(
            f"The headers are too long. The limit is {_MAX_HEADER_CHARACTERS} characters."
        )
