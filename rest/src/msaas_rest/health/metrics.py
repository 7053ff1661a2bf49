"""What is counted, in Prometheus' words."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from msaas.errors import Unavailable
from msaas.queue import JobQueue
from msaas_rest.budget import Budget


class Metrics:
    """Each app has its own, so that two in one process do not meet."""

    def __init__(self, *, queue: JobQueue, budget: Budget) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "msaas_requests", "Answered requests", ["method", "route", "status"], registry=self.registry
        )
        held = Gauge("msaas_upload_bytes", "What uploads under way hold", registry=self.registry)
        held.set_function(lambda: budget.taken_bytes)
        self.registry.register(_QueueDepth(queue))


class _QueueDepth(Collector):
    """Asked at each scrape; while the queue is away there is no figure."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield self._family()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = self._family()
        try:
            for state, jobs in vars(self._queue.depth()).items():
                family.add_metric([state], jobs)
        except Unavailable:
            pass
        yield family

    @staticmethod
    def _family() -> GaugeMetricFamily:
        return GaugeMetricFamily("msaas_queue_jobs", "Jobs in the queue", labels=["state"])
