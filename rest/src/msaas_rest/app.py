"""The app: the APIs, with checks of the origin before them and metrics around them."""

from flask import Flask, Response, request
from werkzeug.routing import IntegerConverter

from msaas_rest.api import machine_api
from msaas_rest.bootstrap import Dependencies
from msaas_rest.health.metrics import Metrics, count_requests
from msaas_rest.health.routes import routes as health_routes
from msaas_rest.home.routes import routes as home_routes
from msaas_rest.http.cors import Cors
from msaas_rest.http.envelope import has_envelope, render_envelope
from msaas_rest.http.failures import Failure, present_failures
from msaas_rest.http.head_checks import check_head, has_two_lengths
from msaas_rest.http.origin_checks import SECURITY_HEADERS, check_host, check_site
from msaas_rest.http.problems import render_problem
from msaas_rest.http.request_log import tag_requests
from msaas_rest.http.uploads import UploadRequest
from msaas_rest.openapi.routes import routes as openapi_routes
from msaas_rest.settings import RestSettings
from msaas_rest.songs import songs_api

#: Public paths without secrets: probes may send any Host header.
_PROBED_PATHS = {"/", "/healthz", "/readyz", "/metrics"}


class NumberConverter(IntegerConverter):
    """A number in one form: digits of ASCII without zeros before them."""

    regex = "[1-9][0-9]*|0"


def create_app(deps: Dependencies) -> Flask:
    app = Flask(__name__, static_folder=None)
    app.request_class = UploadRequest
    app.url_map.strict_slashes = False
    app.url_map.converters["int"] = NumberConverter
    metrics = Metrics(queue=deps.queue, disk_budget=deps.disk_budget)
    tag_requests(app)
    count_requests(app, metrics)
    present_failures(app, _render_by_path)
    _check_origins(app, deps.settings)
    _add_security_headers(app)
    app.register_blueprint(machine_api(deps))
    app.register_blueprint(songs_api(deps))
    app.register_blueprint(health_routes(deps, metrics))
    app.register_blueprint(home_routes())
    app.register_blueprint(openapi_routes(deps))
    return app


def _render_by_path(failure: Failure) -> Response:
    """Present an error outside the routes, such as an unknown path, as the API of the path does."""
    return render_envelope(failure) if has_envelope(request.path) else render_problem(failure)


def _check_origins(app: Flask, settings: RestSettings) -> None:
    cors = Cors(settings.cors_origins)

    @app.before_request
    def check_origin() -> Response | None:
        check_head(request)
        if request.path in _PROBED_PATHS:
            return None
        check_host(request.headers.get("Host", ""), allowed=settings.allowed_hosts)
        cors.mark(request)
        check_site(request)
        return cors.answer_preflight(request)

    @app.after_request
    def add_cors(response: Response) -> Response:
        cors.add_headers(response, request)
        return response


def _add_security_headers(app: Flask) -> None:
    @app.after_request
    def add(response: Response) -> Response:
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        if has_two_lengths(request):
            response.headers["Connection"] = "close"
        return response
