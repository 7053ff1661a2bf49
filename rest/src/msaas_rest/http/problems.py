"""Error presenter of the machine API: `application/problem+json` (RFC 9457) with the legacy `reason`."""

import errno
import json
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Flask, Response, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge

from msaas.errors import MsaasError, QueueFull, SongTooLarge, TooBusy
from msaas.logs import get_logger
from msaas_rest.http.statuses import status_of

#: Redis and the store are usually back sooner.
RETRY_AFTER_S = 5
PROBLEM_TYPE = "application/problem+json"

log = get_logger()


def present_problems(part: Flask | Blueprint) -> None:
    """Answer every error of an app, or of a blueprint and those below it, as a problem."""
    part.register_error_handler(MsaasError, problem)
    part.register_error_handler(RequestEntityTooLarge, lambda _: problem(_too_large()))
    part.register_error_handler(HTTPException, _from_http_exception)
    part.register_error_handler(OSError, _from_os_error)
    part.register_error_handler(Exception, _internal_error)


def problem(error: MsaasError) -> Response:
    status = status_of(error)
    _log(error, status)
    response = _problem(
        status,
        kind=f"urn:msaas:error:{error.code}",
        title=error.title,
        detail=str(error),
    )
    if status is HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="msaas"'
    return response


def _log(error: MsaasError, status: HTTPStatus) -> None:
    facts = {"code": error.code, "path": request.path, "detail": error.detail}
    if status is HTTPStatus.NOT_FOUND:
        # Clients poll for a stem until it is there.
        log.debug("request_refused", **facts)
    elif status < HTTPStatus.INTERNAL_SERVER_ERROR or isinstance(error, (QueueFull, TooBusy)):
        log.info("request_refused", **facts)
    else:
        log.warning("request_failed", **facts, exc_info=error)


def _too_large() -> SongTooLarge:
    return SongTooLarge(
        f"The body is too large. The limit is {request.max_content_length} bytes, "
        f"of which the text fields of a form have {request.max_form_memory_size}."
    )


def _from_http_exception(error: HTTPException) -> Response:
    """Present an error of Flask: an unknown route or method, a body that cannot be parsed."""
    if error.response is not None or error.code is None or error.code < HTTPStatus.BAD_REQUEST:
        return error.get_response()  # type: ignore[return-value]
    response = _problem(HTTPStatus(error.code), kind="about:blank", title=error.name, detail=_detail(error))
    response.headers.extend((name, value) for name, value in error.get_headers() if name != "Content-Type")
    return response


def _detail(error: HTTPException) -> str:
    """Return a text that stands alone. The one of Flask names neither the path nor the method."""
    if isinstance(error, NotFound):
        return f"Path {request.path[:140]!r} does not exist."
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        return f"Method {request.method[:16]} is not allowed here. Use one of {allowed}."
    return error.description or error.name


def _from_os_error(error: OSError) -> Response:
    if error.errno == errno.ENOSPC:
        log.error("disk_filled", exc_info=error)
        return problem(TooBusy("The disk of the service is full. Try again later."))
    return _internal_error(error)


def _internal_error(error: Exception) -> Response:
    """Log the error with its traceback. The client gets the request id, by which the operator finds it."""
    log.error("request_crashed", path=request.path, exc_info=error)
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    detail = f"The service failed. Its log has the cause under request id {g.request_id}."
    return _problem(status, kind="about:blank", title=status.phrase, detail=detail)


def problem_json(status: HTTPStatus, **fields: Any) -> str:
    """Return the problem document of RFC 9457. Older clients read `detail` as `reason`."""
    order = ("type", "title", "status", "detail", "instance", "reason")
    document = {**fields, "type": fields["kind"], "status": status.value, "reason": fields["detail"]}
    return json.dumps({name: document[name] for name in order}) + "\n"


def _problem(status: HTTPStatus, **fields: str) -> Response:
    body = problem_json(status, instance=request.path, **fields)
    response = Response(body, status=status.value, content_type=PROBLEM_TYPE)
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response
