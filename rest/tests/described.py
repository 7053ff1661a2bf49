"""Compares replies with the OpenAPI document: each test of the API checks it as well."""

import re
from functools import cache
from typing import Any

from flask import Flask, Response, request
from jsonschema import Draft202012Validator
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map

from msaas_rest.app import create_app
from msaas_rest.bootstrap import bootstrap
from msaas_rest.openapi.document import describe_api
from msaas_rest.settings import RestSettings

JSON = ("application/json", "application/problem+json")


@cache
def api() -> dict[str, Any]:
    """Return the document with the debug routes."""
    return describe_api(debug_endpoints=True)


@cache
def url_map() -> Map:
    return create_app(bootstrap(RestSettings(debug_endpoints=True))).url_map


def path_of(rule: str) -> str:
    """Return the path of the document for a rule of Flask."""
    return re.sub(r"<(?:int:)?(\w+)>", r"{\1}", rule)


def find_operation(method: str, path: str) -> dict[str, Any] | None:
    """Return the operation of a request, None without a route. `HEAD` has that of `GET` beside it."""
    try:
        rule, _ = url_map().bind("").match(path, method=method, return_rule=True)
    except HTTPException:
        return None
    item = api()["paths"][path_of(rule.rule)]
    found: dict[str, Any] | None = item.get(method.lower(), item.get("get"))
    return found


def check_described(method: str, path: str, status: int, media_type: str, body: Any = None) -> None:
    """Assert that the document has the status, the media type and the fields of the reply."""
    operation = find_operation(method, path)
    # The HEAD of a GET that changes something is refused.
    if operation is None or method == "OPTIONS" or (method, status) == ("HEAD", 405):
        return
    assert str(status) in operation["responses"], f"{method} {path} answered {status}"
    content = resolve(operation["responses"][str(status)]).get("content", {})
    if method == "HEAD" or status in (204, 304):
        return
    assert media_type in content, f"{method} {path} answered {status} as {media_type}"
    if media_type in JSON and body is not None:
        validate(body, content[media_type]["schema"], closed=status == 200)


def resolve(part: dict[str, Any]) -> dict[str, Any]:
    found: Any = part
    while "$ref" in found:
        target: Any = api()
        for name in found["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        found = target
    return dict(found)


def validate(value: Any, schema: dict[str, Any], *, closed: bool = False) -> None:
    """Raises `ValidationError`. A `closed` object has no field beside those of the document."""
    schemas = api()["components"]["schemas"]
    if closed:
        schemas = {name: _close(each) for name, each in schemas.items()}
    whole = {**schema, "components": {"schemas": schemas}}
    Draft202012Validator(whole).validate(value)


def _close(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "additionalProperties": False} if "properties" in schema else schema


def check_replies(app: Flask) -> None:
    """Check each reply of an app that tests use without a server."""

    @app.after_request
    def check(response: Response) -> Response:
        if request.url_rule is None:
            return response
        body = response.get_json() if response.mimetype in JSON and not response.is_streamed else None
        check_described(request.method, request.path, response.status_code, response.mimetype, body)
        return response
