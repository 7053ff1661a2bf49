"""Request ids: one for each request, in every log line, in the answer and in the job."""

import re
import secrets

from flask import Flask, Response, g, request

from msaas.logs import bind_log, clear_log

HEADER = "X-Request-ID"
_VALID = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def tag_requests(app: Flask) -> None:
    """Give each request an id: that of the client or its proxy, if it has one."""

    @app.before_request
    def tag() -> None:
        # Threads are reused: the facts of the request before must go.
        clear_log()
        given = request.headers.get(HEADER, "")
        g.request_id = given if _VALID.fullmatch(given) else secrets.token_hex(8)
        bind_log(request_id=g.request_id)

    @app.after_request
    def echo(response: Response) -> Response:
        response.headers[HEADER] = g.get("request_id", "")
        return response
