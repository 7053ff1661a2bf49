"""`GET /apiv1/job/<id>`."""

import time
from typing import Any

from flask import Blueprint

from msaas_rest.bootstrap import Parts
from msaas_rest.jobs.use_case import status_of


def routes(parts: Parts) -> Blueprint:
    blueprint = Blueprint("jobs", __name__)

    @blueprint.get("/apiv1/job/<job_id>")
    def job(job_id: str) -> dict[str, Any]:
        return status_of(job_id, queue=parts.queue, tracks=parts.tracks).as_json(now=time.time())

    return blueprint
