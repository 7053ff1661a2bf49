"""`/healthz` says that the process is up, `/readyz` that its parts answer, `/metrics` what it counts."""

from collections.abc import Callable, Mapping

from flask import Blueprint, Flask, Response, request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from msaas_rest.bootstrap import Parts
from msaas_rest.health.metrics import Metrics


def routes(parts: Parts, metrics: Metrics) -> Blueprint:
    blueprint = Blueprint("health", __name__)
    pings: Mapping[str, Callable[[], None]] = {"queue": parts.queue.ping, "store": parts.tracks.ping}

    @blueprint.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "up"}

    @blueprint.get("/readyz")
    def readyz() -> dict[str, str]:
        for ping in pings.values():
            ping()
        return dict.fromkeys(pings, "ok")

    @blueprint.get("/metrics")
    def metrics_page() -> Response:
        return Response(generate_latest(metrics.registry), content_type=CONTENT_TYPE_LATEST)

    return blueprint


def count_requests(app: Flask, metrics: Metrics) -> None:
    @app.after_request
    def count(response: Response) -> Response:
        # The rule, not the path: a label must not grow with what clients make up.
        route = request.url_rule.rule if request.url_rule else "none"
        method = request.method if request.url_rule else "any"
        metrics.requests.labels(method, route, response.status_code).inc()
        return response
