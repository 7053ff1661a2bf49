"""`GET /`: a page for a browser, 200 for everybody else: load balancers ask here whether we live."""

from importlib.resources import files

from flask import Blueprint, Response, jsonify, request

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"


def routes() -> Blueprint:
    blueprint = Blueprint("home", __name__)
    page = (files("msaas_rest.home") / "home.html").read_text()

    @blueprint.get("/")
    def home() -> Response:
        if wants_html():
            return Response(
                page,
                content_type="text/html; charset=utf-8",
                headers={
                    "Content-Security-Policy": _POLICY,
                    # The form carries the page's origin: without it, it would be taken for another site's.
                    "Referrer-Policy": "same-origin",
                    "Vary": "Accept",
                },
            )
        return jsonify(service="msaas", api="/apiv1")

    return blueprint


def wants_html() -> bool:
    """A browser names HTML; whoever takes anything wants no page."""
    return "text/html" in (media_type for media_type, _ in request.accept_mimetypes)
