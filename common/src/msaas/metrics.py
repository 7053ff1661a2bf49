"""Prometheus metrics that every service shares, and the port a service without HTTP shows them on."""

import platform
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    start_http_server,
)

from msaas.errors import MalformedSettings

disable_created_metrics()  # type: ignore[no-untyped-call]

#: One registry a process: a process is one service.
REGISTRY = CollectorRegistry()


def count_build(registry: CollectorRegistry) -> None:
    """Add the versions of the service and of Python to a registry."""
    build = Gauge("msaas_build_info", "Versions, as labels", ["version", "python"], registry=registry)
    build.labels(version("msaas"), platform.python_version()).set(1)


count_build(REGISTRY)

TASK_RUNS = Counter("msaas_task_runs", "Runs of background tasks", ["task", "outcome"], registry=REGISTRY)
JOBS = Counter("msaas_jobs", "Jobs that ended, by outcome and model", ["outcome", "model"], registry=REGISTRY)
QUEUE_WAIT = Histogram(
    "msaas_queue_wait_seconds",
    "From the enqueue of a job to its first claim",
    buckets=(0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600),
    registry=REGISTRY,
)
SEPARATION = Histogram(
    "msaas_separation_seconds",
    "From the fetch of the song to the manifest",
    ["model"],
    buckets=(1, 2, 5, 10, 20, 60, 180, 600, 1800, 3600),
    registry=REGISTRY,
)
REAL_TIME_FACTOR = Histogram(
    "msaas_real_time_factor",
    "Seconds of audio per second, from the fetch of the song to the manifest (2: twice as fast as real time)",
    ["model"],
    buckets=(0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128),
    registry=REGISTRY,
)
CALLBACKS = Counter("msaas_callbacks", "Callback attempts by outcome", ["outcome"], registry=REGISTRY)


def serve_metrics(port: int, *, host: str) -> None:
    """Serve `/metrics` in a thread of its own. Port 0 serves nothing.

    Raises:
        MalformedSettings: the address cannot be used.
    """
    if not port:
        return
    try:
        start_http_server(port, addr=host, registry=REGISTRY)
    except OSError as error:
        raise MalformedSettings(
            f"METRICS_PORT={port} cannot be used on {host} ({error.strerror or error}). Choose another port."
        ) from None
