"""Prometheus metrics of the REST service."""

import time
from collections.abc import Iterator

from flask import Flask, Response, current_app, g, request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from msaas.errors import Unavailable
from msaas.metrics import count_build
from msaas.queue.protocol import JobQueue
from msaas_rest.http.disk_budget import DiskBudget

_DURATIONS_S = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60)
#: Label of requests that match no route.
_NO_ROUTE = "none"
#: Methods of the routes. Others are counted as `other`: clients choose them, and each label costs memory.
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class Metrics:
    """The metrics of one app. Each app has its own registry, so that two can run in one process."""

    def __init__(self, *, queue: JobQueue, disk_budget: DiskBudget) -> None:
        self.registry = CollectorRegistry()
        count_build(self.registry)
        self.requests = Counter(
            "msaas_requests", "Answered requests", ["method", "route", "status"], registry=self.registry
        )
        self.durations = Histogram(
            "msaas_request_seconds",
            "From the request to its answer, without the body of the answer",
            ["method", "route"],
            buckets=_DURATIONS_S,
            registry=self.registry,
        )
        held = Gauge("msaas_upload_bytes", "Disk space that uploads in progress hold", registry=self.registry)
        held.set_function(lambda: disk_budget.taken_bytes)
        uploads = Gauge("msaas_uploads", "Uploads in progress", registry=self.registry)
        uploads.set_function(lambda: disk_budget.uploads)
        self.registry.register(_QueueDepth(queue))


class _QueueDepth(Collector):
    """Asks the queue at each scrape. While it is unavailable, the metrics have no samples."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield from self._families()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        jobs, workers, used, limit = self._families()
        try:
            depth = vars(self._queue.depth()).copy()
            workers.add_metric([], depth.pop("workers"))
            for state, number in depth.items():
                jobs.add_metric([state], number)
            memory = self._queue.memory()
            used.add_metric([], memory.used_bytes)
            limit.add_metric([], memory.limit_bytes)
        except Unavailable:
            pass
        yield from (jobs, workers, used, limit)

    @staticmethod
    def _families() -> tuple[GaugeMetricFamily, ...]:
        return (
            GaugeMetricFamily("msaas_queue_jobs", "Jobs in the queue", labels=["state"]),
            GaugeMetricFamily("msaas_workers", "Workers with a lease", labels=[]),
            GaugeMetricFamily("msaas_queue_memory_bytes", "Memory of Redis in use", labels=[]),
            GaugeMetricFamily("msaas_queue_memory_limit_bytes", "Its limit, 0 without one", labels=[]),
        )


def count_requests(app: Flask, metrics: Metrics) -> None:
    """Count every request and its duration."""

    @app.before_request
    def start_clock() -> None:
        g.started = time.monotonic()

    @app.after_request
    def count(response: Response) -> Response:
        route = _route()
        method = request.method if request.method in _METHODS else "other"
        metrics.requests.labels(method, route, response.status_code).inc()
        if "started" in g:
            metrics.durations.labels(method, route).observe(time.monotonic() - g.started)
        return response


def _route() -> str:
    """Return the rule of the request, of one with a wrong method as well."""
    if request.url_rule:
        return request.url_rule.rule
    error = request.routing_exception
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        return _rule(request.path, method=next(iter(error.valid_methods)))
    return _NO_ROUTE


def _rule(path: str, *, method: str) -> str:
    try:
        rule, _ = current_app.url_map.bind("").match(path, method=method, return_rule=True)
    except HTTPException:
        return _NO_ROUTE
    return rule.rule
