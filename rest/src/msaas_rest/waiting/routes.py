"""`GET /apiv1/queue`: a client may send the body `null`, which nobody reads."""

from flask import Blueprint

from msaas_rest.bootstrap import Parts


def routes(parts: Parts) -> Blueprint:
    blueprint = Blueprint("waiting", __name__)

    @blueprint.get("/apiv1/queue")
    def queue() -> dict[str, list[str]]:
        return {"queue": parts.queue.waiting()}

    return blueprint
