"""Answers to requests that gunicorn cannot parse. They never reach the app, and get problem+json as well."""

from http import HTTPStatus

from gunicorn.http.errors import (
    ExpectationFailed,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)

from msaas_rest.http.origin_checks import SECURITY_HEADERS
from msaas_rest.http.problems import PROBLEM_TYPE, problem_json

_STATUS: dict[type[ParseException], HTTPStatus] = {
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
}


def malformed_request_response(error: ParseException) -> bytes:
    """Return the whole answer. It names only the class of the error: its text repeats the request."""
    status = _STATUS.get(type(error), HTTPStatus.BAD_REQUEST)
    detail = f"The HTTP request cannot be parsed: {type(error).__name__}."
    body = problem_json(
        status, kind="about:blank", title=status.phrase, detail=detail, instance="", reason=detail
    )
    headers = {
        "Connection": "close",
        "Content-Type": PROBLEM_TYPE,
        "Content-Length": str(len(body)),
        **SECURITY_HEADERS,
    }
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{each}: {headers[each]}" for each in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()
