"""The app is its features, the guards before them and the problems behind them."""

from flask import Flask, Response, g, request

from msaas_rest.bootstrap import Parts
from msaas_rest.buckets.routes import routes as bucket_routes
from msaas_rest.callbacks.routes import routes as callback_routes
from msaas_rest.guards import SECURITY_HEADERS, check_host, check_site
from msaas_rest.health.metrics import Metrics
from msaas_rest.health.routes import count_requests
from msaas_rest.health.routes import routes as health_routes
from msaas_rest.home.routes import routes as home_routes
from msaas_rest.jobs.routes import routes as job_routes
from msaas_rest.models.routes import routes as model_routes
from msaas_rest.pieces.routes import routes as piece_routes
from msaas_rest.problems import answer_problems
from msaas_rest.rates import limit_rates
from msaas_rest.separation.routes import routes as separation_routes
from msaas_rest.settings import RestSettings
from msaas_rest.tracks.routes import routes as track_routes
from msaas_rest.waiting.routes import routes as waiting_routes

_API = "/apiv1"
#: They say nothing that a stranger may not know, and whoever probes them may call us anything.
_OPEN_PATHS = {"/", "/healthz", "/readyz", "/metrics"}


def create_app(parts: Parts) -> Flask:
    app = Flask(__name__, static_folder=None)
    app.url_map.strict_slashes = False
    metrics = Metrics(queue=parts.queue, budget=parts.budget)
    answer_problems(app)
    _guard(app, parts.settings)
    count_requests(app, metrics)
    features = [
        separation_routes,
        waiting_routes,
        track_routes,
        job_routes,
        piece_routes,
        callback_routes,
        model_routes,
    ]
    if parts.settings.debug_endpoints:
        features.append(bucket_routes)
    for routes in features:
        app.register_blueprint(routes(parts))
    app.register_blueprint(health_routes(parts, metrics))
    app.register_blueprint(home_routes())
    return app


def _guard(app: Flask, settings: RestSettings) -> None:
    @app.before_request
    def guard() -> None:
        if request.path not in _OPEN_PATHS:
            check_host(request.headers.get("Host", ""), allowed=settings.allowed_hosts)
            check_site(request)
        if settings.api_keys and request.path.startswith(_API):
            g.key_digest = settings.api_keys.check(request.headers.get("Authorization"))

    if settings.rate_limit:
        limit_rates(
            app, rate=settings.rate_limit, address=settings.redis_address, keys=settings.keys, prefix=_API
        )

    @app.after_request
    def harden(response: Response) -> Response:
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        return response
