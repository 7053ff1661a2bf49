"""`GET /`: the page for a browser, 200 with JSON for every other client, such as a load balancer.

`make web` builds the page into `page/`. Without it, `/` is a form that says how to build it.
"""

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import NotFound

from msaas_rest.home.assets import Asset, read_assets

_FORM_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
#: WebAssembly compiles the pitch shifter and a decoder. Styles and scripts are files of this service.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; font-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)
#: The names of assets have a hash of their content.
_IMMUTABLE = "public, max-age=31536000, immutable"


def routes(*, folder: Traversable | None = None) -> Blueprint:
    """Return the routes of the page in `folder`, by default that of the package."""
    blueprint = Blueprint("home", __name__)
    built = folder or files("msaas_rest.home") / "page"
    is_built = (built / "index.html").is_file()
    page = (built / "index.html" if is_built else files("msaas_rest.home") / "home.html").read_text("utf-8")
    assets = read_assets(built / "assets")

    @blueprint.get("/")
    def home() -> Response:
        if wants_html():
            return Response(
                page,
                content_type="text/html; charset=utf-8",
                headers={
                    "Content-Security-Policy": _PAGE_POLICY if is_built else _FORM_POLICY,
                    # Without a referrer, requests of the page would look like those of another site.
                    "Referrer-Policy": "same-origin",
                    "Cache-Control": "no-cache",
                    "Vary": "Accept",
                },
            )
        return jsonify(service="msaas", api="/apiv1")

    @blueprint.get("/assets/<file>")
    def serve_asset(file: str) -> Response:
        asset = assets.get(PurePosixPath(file).name)
        if asset is None:
            raise NotFound
        return _send(asset)

    return blueprint


def wants_html() -> bool:
    """Return whether the client is a browser: browsers list text/html in Accept, `*/*` gets JSON."""
    return "text/html" in (media_type for media_type, _ in request.accept_mimetypes)


def _send(asset: Asset) -> Response:
    accepts_gzip = asset.gzipped and "gzip" in (coding for coding, _ in request.accept_encodings)
    response = Response(asset.gzipped if accepts_gzip else asset.content, content_type=asset.media_type)
    response.headers["Cache-Control"] = _IMMUTABLE
    response.headers["Vary"] = "Accept-Encoding"
    if accepts_gzip:
        response.headers["Content-Encoding"] = "gzip"
    return response
