"""Failed requests: each error becomes a `Failure`, which the presenter of an API turns into an answer."""

import errno
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from flask import Flask, Response, g, request
from flask.sansio.blueprints import Blueprint
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge

from msaas.errors import MsaasError, QueueFull, SongTooLarge, TooBusy, Unauthorized
from msaas.logs import get_logger
from msaas_rest.http.statuses import status_of

#: Redis and the store are usually back sooner.
RETRY_AFTER_S = 5

log = get_logger()


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A failed request. `error` is the named error, None for an error of HTTP itself."""

    status: HTTPStatus
    title: str
    detail: str
    error: MsaasError | None = None
    headers: tuple[tuple[str, str], ...] = ()


Render = Callable[[Failure], Response]


def present_failures(part: Flask | Blueprint, render: Render) -> None:
    """Answer every error of an app, or of a blueprint and those below it, by `render`."""

    def present(failure: Failure) -> Response:
        response = render(failure)
        response.headers.extend(failure.headers)
        if failure.status is HTTPStatus.SERVICE_UNAVAILABLE:
            response.headers["Retry-After"] = str(RETRY_AFTER_S)
        return response

    def present_http(error: HTTPException) -> Response:
        if error.response is not None or error.code is None or error.code < HTTPStatus.BAD_REQUEST:
            return error.get_response()  # type: ignore[return-value]
        return present(_of_http(error))

    part.register_error_handler(MsaasError, lambda error: present(_of_error(error)))
    part.register_error_handler(RequestEntityTooLarge, lambda _: present(_of_error(_too_large())))
    part.register_error_handler(HTTPException, present_http)
    part.register_error_handler(OSError, lambda error: present(_of_os_error(error)))
    part.register_error_handler(Exception, lambda error: present(_of_defect(error)))


def _of_error(error: MsaasError) -> Failure:
    status = status_of(error)
    _log(error, status)
    headers = (("WWW-Authenticate", 'Bearer realm="msaas"'),) if isinstance(error, Unauthorized) else ()
    return Failure(status=status, title=error.title, detail=str(error), error=error, headers=headers)


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
    if request.max_content_length is None:
        return SongTooLarge(
            f"The text fields of the form are too large. Their limit is {request.max_form_memory_size} bytes."
        )
    return SongTooLarge(
        f"The body is too large. The limit is {request.max_content_length} bytes, "
        f"of which the text fields of a form have {request.max_form_memory_size}."
    )


def _of_http(error: HTTPException) -> Failure:
    """Return the failure of an error of Flask: an unknown route or method, a body that cannot be parsed."""
    headers = tuple((name, value) for name, value in error.get_headers() if name != "Content-Type")
    return Failure(
        status=HTTPStatus(error.code or 500), title=error.name, detail=_detail(error), headers=headers
    )


def _detail(error: HTTPException) -> str:
    """Return a text that stands alone. The one of Flask names neither the path nor the method."""
    if isinstance(error, NotFound):
        return f"Path {request.path[:140]!r} does not exist."
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        return f"Method {request.method[:16]} is not allowed here. Use one of {allowed}."
    return error.description or error.name


def _of_os_error(error: OSError) -> Failure:
    if error.errno == errno.ENOSPC:
        log.error("disk_filled", exc_info=error)
        return _of_error(TooBusy("The disk of the service is full. Try again later."))
    return _of_defect(error)


def _of_defect(error: Exception) -> Failure:
    """Log the error with its traceback. The client gets the request id, by which the operator finds it."""
    log.error("request_crashed", path=request.path, exc_info=error)
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    detail = f"The service failed. Its log has the cause under request id {g.request_id}."
    return Failure(status=status, title=status.phrase, detail=detail)
