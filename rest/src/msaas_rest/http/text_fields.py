"""Small bodies: the text fields of a form or of a JSON object."""

import json
from collections.abc import Iterable
from typing import Any

from flask import Request

from msaas.errors import InvalidFields, MalformedRequest
from msaas_rest.http.body import open_body
from msaas_rest.http.uploads import check_content_encoding

_MAX_BYTES = 64 * 1024


def read_texts(request: Request, names: Iterable[str], *, client: str) -> dict[str, str]:
    """Return the fields of these names. A field that is missing is an empty text, and others are ignored.

    Raises:
        MalformedRequest, SongTooLarge: the body cannot be read.
        InvalidFields: a field is not a text.
    """
    check_content_encoding(request)
    open_body(request, max_bytes=_MAX_BYTES, client=client)
    found = _json_object(request) if request.is_json else request.form.to_dict()
    return {name: _text(name, found.get(name)) for name in names}


def _json_object(request: Request) -> dict[str, Any]:
    try:
        found = json.loads(request.get_data(), object_pairs_hook=_fields_of)
    except (ValueError, RecursionError):
        raise MalformedRequest("The body is not JSON.") from None
    if not isinstance(found, dict):
        raise MalformedRequest("The body is not a JSON object.")
    return found


def _fields_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON. Raises `MalformedRequest` if it has a field twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise MalformedRequest("A field stands twice in the JSON of the body. Send each field once.")
    return found


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidFields(fields={name: [f"Field `{name}` is not a text."]})
    return value
