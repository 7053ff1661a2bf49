"""Presenter of the songs API: `{"ok": …, "errors": …, "data": …}`, with texts for each wrong field."""

import re
from typing import Any

from flask import Response, jsonify

from msaas import errors
from msaas_rest.http.failures import Failure

#: The key of errors that belong to no field.
GENERAL = "general"
_PATHS = re.compile(r"/(songs|auth)(/|$)")
#: The first class an error is an instance of names its field.
_FIELDS: tuple[tuple[type[errors.MsaasError], str], ...] = (
    (errors.MissingSong, "file"),
    (errors.NotAudio, "file"),
    (errors.UndecodableSong, "file"),
    (errors.SongTooLarge, "file"),
    (errors.SongTooLong, "file"),
    (errors.UrlRefused, "url"),
    (errors.UrlUnreachable, "url"),
    (errors.UnknownModel, "model"),
    (errors.UnknownStem, "stems"),
    (errors.UnknownFormat, "format"),
)


def has_envelope(path: str) -> bool:
    """Return whether the path belongs to the songs API, one without a route as well."""
    return _PATHS.match(path) is not None


def envelope(data: Any = None) -> Response:
    """Return a success. Without `data` the answer has none."""
    return jsonify({"ok": True, "errors": {}} | ({} if data is None else {"data": data}))


def render_envelope(failure: Failure) -> Response:
    response = jsonify({"ok": False, "errors": render_texts(failure.error, detail=failure.detail)})
    response.status_code = failure.status.value
    return response


def render_texts(error: errors.MsaasError | None, *, detail: str) -> dict[str, list[str]]:
    """Return the texts of each field that is wrong. An error of no field is `general`."""
    if isinstance(error, errors.InvalidFields) and error.fields:
        return error.fields
    found = (field for kind, field in _FIELDS if isinstance(error, kind))
    return {next(found, GENERAL): [detail]}
