"""`/healthz`: the process is up. `/readyz`: its dependencies answer. `/metrics`: Prometheus."""

from contextlib import suppress
from typing import Any

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from msaas.errors import ObjectNotFound
from msaas.storage.song_store import SongStore
from msaas_rest.bootstrap import Dependencies
from msaas_rest.health.metrics import Metrics


def routes(deps: Dependencies, metrics: Metrics) -> Blueprint:
    blueprint = Blueprint("health", __name__)
    store = _StoreCheck(deps.song_store)

    @blueprint.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "up"}

    @blueprint.get("/readyz")
    def readyz() -> dict[str, Any]:
        """Answer 200 when songs can be accepted. Without a live worker they wait."""
        deps.queue.check_writable()
        depth = deps.queue.depth()
        store.check()
        return {"queue": "ok", "store": "ok", "workers": depth.workers}

    @blueprint.get("/metrics")
    def metrics_page() -> Response:
        return Response(generate_latest(metrics.registry), content_type=CONTENT_TYPE_LATEST)

    return blueprint


class _StoreCheck:
    """Creates the buckets at the first check, because a new store has none. Later checks only ping."""

    def __init__(self, song_store: SongStore) -> None:
        self._song_store = song_store
        self._is_prepared = False

    def check(self) -> None:
        """Return once the store answers.

        Raises:
            StoreUnavailable: it does not.
        """
        if self._is_prepared:
            # The folder of a directory store may have been deleted.
            with suppress(ObjectNotFound):
                return self._song_store.ping()
        self._song_store.prepare()
        self._is_prepared = True
