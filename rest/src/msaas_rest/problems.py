"""Whatever goes wrong is answered as `application/problem+json` (RFC 9457) with the legacy `reason`."""

import errno
import json
import logging
from functools import partial
from http import HTTPStatus

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from msaas import errors
from msaas.redis_log import log_debug, log_info
from msaas_rest.body import discard_rest

#: The first class an error is an instance of decides.
STATUS: dict[type[errors.MsaasError], HTTPStatus] = {
    errors.MalformedRequest: HTTPStatus.BAD_REQUEST,
    errors.Unauthorized: HTTPStatus.UNAUTHORIZED,
    errors.TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    errors.UnknownHost: HTTPStatus.MISDIRECTED_REQUEST,
    errors.CrossSiteRequest: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.CallbackNotReady: HTTPStatus.CONFLICT,
    errors.SongTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.SongTooLong: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.NotAnMp3: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.UndecodableSong: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.UnknownModel: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.UnknownStem: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.UnknownFormat: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.MsaasError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
#: Redis and the store are back sooner than this, or it takes longer anyway.
RETRY_AFTER_S = 5
PROBLEM_TYPE = "application/problem+json"

_logger = logging.getLogger("msaas")


def answer_problems(app: Flask) -> None:
    app.register_error_handler(errors.MsaasError, problem)
    app.register_error_handler(RequestEntityTooLarge, lambda _: problem(_too_large()))
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(OSError, _of_the_machine)
    app.register_error_handler(Exception, _unforeseen)


def problem(error: errors.MsaasError, *, retry_after_s: int | None = None) -> Response:
    status = next(status for kind, status in STATUS.items() if isinstance(error, kind))
    # Whoever waits for a stem asks for it again and again.
    log = log_debug if status is HTTPStatus.NOT_FOUND else log_info
    log("request_refused", code=error.code, path=request.path, detail=error.detail)
    kind = f"urn:msaas:error:{error.code}"
    response = _problem(
        status, kind=kind, title=error.title, detail=error.detail or error.title, reason=str(error)
    )
    if retry_after_s:
        response.headers["Retry-After"] = str(retry_after_s)
    if status is HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="msaas"'
    return response


def _too_large() -> errors.SongTooLarge:
    return errors.SongTooLarge(f"A body of this kind may have {request.max_content_length} bytes.")


def _of_http(error: HTTPException) -> Response:
    """Flask's own: no such route, no such method, a body that cannot be parsed."""
    if error.response is not None or error.code is None or error.code < HTTPStatus.BAD_REQUEST:
        return error.get_response()  # type: ignore[return-value]
    detail = error.description or error.name
    response = _problem(
        HTTPStatus(error.code), kind="about:blank", title=error.name, detail=detail, reason=detail
    )
    response.headers.extend(
        (name, value) for name, value in error.get_headers() if name not in ("Content-Type",)
    )
    return response


def _of_the_machine(error: OSError) -> Response:
    if error.errno == errno.ENOSPC:
        return problem(errors.TooBusy("There is no room for the upload."))
    return _unforeseen(error)


def _unforeseen(error: Exception) -> Response:
    """What happened goes to the log, never to the client."""
    _logger.error("request_failed", exc_info=error, extra={"fields": {"path": request.path}})
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    title = "Something went wrong."
    return _problem(status, kind="about:blank", title=title, detail=title, reason=title)


def problem_json(
    status: HTTPStatus, *, kind: str, title: str, detail: str, instance: str, reason: str
) -> str:
    """Return the problem document of RFC 9457, with the `reason` of clients in use."""
    return json.dumps(
        {
            "type": kind,
            "title": title,
            "status": status.value,
            "detail": detail,
            "instance": instance,
            "reason": reason,
        }
    )


def _problem(status: HTTPStatus, *, kind: str, title: str, detail: str, reason: str) -> Response:
    body = problem_json(status, kind=kind, title=title, detail=detail, instance=request.path, reason=reason)
    response = Response(body, status=status.value, content_type=PROBLEM_TYPE)
    response.call_on_close(partial(discard_rest, request.environ))
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response
