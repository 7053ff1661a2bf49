"""`GET /apiv1/job/<id>/callbacks`, and `POST …/<callback>/redeliver` to send one once more."""

from typing import Any

from flask import Blueprint

from msaas.redis_log import log_info
from msaas_rest.bootstrap import Parts
from msaas_rest.callbacks.use_case import callbacks_of, redeliver, shown


def routes(parts: Parts) -> Blueprint:
    blueprint = Blueprint("callbacks", __name__)

    @blueprint.get("/apiv1/job/<job_id>/callbacks")
    def callbacks(job_id: str) -> dict[str, list[dict[str, Any]]]:
        found = callbacks_of(job_id, queue=parts.queue, outbox=parts.outbox, tracks=parts.tracks)
        return {"callbacks": [shown(delivery) for delivery in found]}

    @blueprint.post("/apiv1/job/<job_id>/callbacks/<delivery_id>/redeliver")
    def send_again(job_id: str, delivery_id: str) -> dict[str, Any]:
        delivery = redeliver(delivery_id, job_id=job_id, outbox=parts.outbox)
        log_info("callback_redelivered", job=job_id, id=delivery.id)
        return shown(delivery)

    return blueprint
