"""Answers to requests that h11 cannot parse. They never reach the app, and get problem+json as well."""

import re
from http import HTTPStatus

import h11

from msaas_rest.http.origin_checks import SECURITY_HEADERS
from msaas_rest.http.problems import PROBLEM_TYPE, problem_json

#: The words of an error of h11 before those it repeats from the request, which may hold a key.
_WORDS = re.compile(r"[A-Za-z -]*?(?=$| b'|:|[^A-Za-z -])")


def reason_of(error: BaseException | None) -> str:
    """Return the reason without any text of the request."""
    words = _WORDS.match(str(error))
    return words.group().strip().lower() if words else ""


def malformed_request_response(error: BaseException | None) -> bytes:
    """Return the whole answer."""
    hint = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 0
    status = HTTPStatus(hint or HTTPStatus.BAD_REQUEST)
    detail = f"The HTTP request cannot be parsed: {reason_of(error) or 'it is malformed'}."
    body = problem_json(status, kind="about:blank", title=status.phrase, detail=detail, instance="")
    headers = {
        "Connection": "close",
        "Content-Type": PROBLEM_TYPE,
        "Content-Length": str(len(body)),
        **SECURITY_HEADERS,
    }
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{each}: {headers[each]}" for each in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()
