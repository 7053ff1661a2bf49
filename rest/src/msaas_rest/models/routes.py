"""`GET /apiv1/models`."""

from typing import Any

from flask import Blueprint

from msaas.stems import MODELS
from msaas_rest.bootstrap import Parts


def routes(parts: Parts) -> Blueprint:
    blueprint = Blueprint("models", __name__)
    default = parts.settings.demucs_model

    @blueprint.get("/apiv1/models")
    def models() -> dict[str, Any]:
        return {
            "default": default,
            "models": [{"name": name, "stems": list(stems)} for name, stems in MODELS.items()],
        }

    return blueprint
