"""`GET /apiv1/models`: the models a request can name."""

from typing import Any

from flask import Blueprint

from msaas.models import MODELS, Model
from msaas_rest.api.fleet import find_fleet
from msaas_rest.bootstrap import Dependencies


def routes(deps: Dependencies) -> Blueprint:
    blueprint = Blueprint("models", __name__)
    default, queue = deps.settings.demucs_model, deps.queue

    @blueprint.get("/models")
    def list_models() -> dict[str, Any]:
        fleet = find_fleet(queue)
        return {
            "default": default,
            "models": [
                _describe(
                    row,
                    available=None if fleet is None else fleet.runs(row.name),
                    default=row.name == default,
                )
                for row in MODELS.values()
            ],
        }

    return blueprint


def _describe(row: Model, *, available: bool | None, default: bool) -> dict[str, Any]:
    return {
        "name": row.name,
        "family": row.family,
        "stems": list(row.stems),
        "samplerate": row.samplerate,
        "code_license": row.code_license,
        "weights_license": row.weights_license,
        "source": row.source,
        "sha256": row.sha256,
        "size_bytes": row.size_bytes,
        "available": available,
        "default": default,
    }
