"""`GET /`: the page for a browser, 200 with JSON for every other client, such as a load balancer."""

from importlib.resources import files

from flask import Blueprint, Response, jsonify, request

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


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
                    # Without a referrer, the form would look like a request from another site.
                    "Referrer-Policy": "same-origin",
                    "Vary": "Accept",
                },
            )
        return jsonify(service="msaas", api="/apiv1")

    return blueprint


def wants_html() -> bool:
    """Return whether the client is a browser: browsers list text/html in Accept, `*/*` gets JSON."""
    return "text/html" in (media_type for media_type, _ in request.accept_mimetypes)
