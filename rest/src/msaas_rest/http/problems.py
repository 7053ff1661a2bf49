"""Error presenter of the machine API: `application/problem+json` (RFC 9457) with the legacy `reason`."""

import json
from http import HTTPStatus
from typing import Any

from flask import Response, request

from msaas_rest.http.failures import Failure

PROBLEM_TYPE = "application/problem+json"


def render_problem(failure: Failure) -> Response:
    body = problem_json(
        failure.status,
        kind=f"urn:msaas:error:{failure.error.code}" if failure.error else "about:blank",
        title=failure.title,
        detail=failure.detail,
        instance=request.path,
    )
    return Response(body, status=failure.status.value, content_type=PROBLEM_TYPE)


def problem_json(status: HTTPStatus, **fields: Any) -> str:
    """Return the problem document of RFC 9457. Older clients read `detail` as `reason`."""
    order = ("type", "title", "status", "detail", "instance", "reason")
    document = {**fields, "type": fields["kind"], "status": status.value, "reason": fields["detail"]}
    return json.dumps({name: document[name] for name in order}) + "\n"
