"""`/openapi.json`, and `/docs`, which shows it by Swagger UI. Both are public and hold no secret."""

import json
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path

from flask import Blueprint, Response
from werkzeug.exceptions import NotFound

from msaas_rest.bootstrap import Dependencies
from msaas_rest.http.origin_checks import SECURITY_HEADERS

#: Carries the `dist` folder of Swagger UI. Nothing else of it is used.
_CARRIER = "flask_swagger_ui"
_MEDIA_TYPES = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "page.js": "text/javascript",
}
#: No inline script, no inline style, and nothing of another host.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    **SECURITY_HEADERS,
    "Content-Security-Policy": _POLICY,
    # Without an origin, the service would take a call of the page for one of another site.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


def routes(deps: Dependencies) -> Blueprint:
    blueprint = Blueprint("openapi", __name__)
    own = files("msaas_rest.openapi")
    dist = _find_dist()

    @blueprint.get("/openapi.json")
    def show_document() -> Response:
        return Response(_document(deps.settings.debug_endpoints), mimetype="application/json")

    @blueprint.get("/docs")
    def show_page() -> Response:
        page = own / ("page.html" if dist else "absent.html")
        return Response(page.read_text("utf-8"), mimetype="text/html", headers=_HEADERS)

    @blueprint.get("/docs/<file>")
    def serve_file(file: str) -> Response:
        folder: Traversable | None = own if file == "page.js" else dist
        if folder is None or file not in _MEDIA_TYPES:
            raise NotFound
        return Response((folder / file).read_bytes(), content_type=_MEDIA_TYPES[file], headers=_HEADERS)

    return blueprint


def _find_dist() -> Path | None:
    """Return the folder of Swagger UI, None if it is not installed."""
    carrier = find_spec(_CARRIER)
    return Path(carrier.origin).parent / "dist" if carrier and carrier.origin else None


@cache
def _document(debug_endpoints: bool) -> str:
    # Imported late: its models take a second, and most processes are never asked for it.
    from msaas_rest.openapi.document import describe_api

    return json.dumps(describe_api(debug_endpoints=debug_endpoints), ensure_ascii=False)
