"""`GET /apiv1/models`: the models a request can name."""

from typing import Any

from flask import Blueprint

from msaas.models import MODELS
from msaas_rest.bootstrap import Dependencies


def routes(deps: Dependencies) -> Blueprint:
    blueprint = Blueprint("models", __name__)
    default = deps.settings.demucs_model

    @blueprint.get("/models")
    def list_models() -> dict[str, Any]:
        return {
            "default": default,
            "models": [{"name": row.name, "stems": list(row.stems)} for row in MODELS.values()],
        }

    return blueprint
