"""Routes of the queue and of one job: status, fragments, callbacks."""

import time
from typing import Any

from flask import Blueprint, Response, request

from msaas.logs import get_logger
from msaas_rest.api.jobs.callbacks import describe_delivery, find_callbacks, redeliver
from msaas_rest.api.jobs.fragments import find_fragments, read_fragment
from msaas_rest.api.jobs.status import find_status
from msaas_rest.api.jobs.waiting import list_waiting, parse_page
from msaas_rest.bootstrap import Dependencies

log = get_logger()


def routes(deps: Dependencies) -> Blueprint:
    blueprint = Blueprint("jobs", __name__)
    queue, outbox, song_store = deps.queue, deps.outbox, deps.song_store

    @blueprint.get("/queue")
    def list_queue() -> dict[str, Any]:
        return list_waiting(parse_page(request.args), queue=queue)

    @blueprint.get("/job/<job_id>")
    def show_job(job_id: str) -> dict[str, Any]:
        return find_status(job_id, queue=queue, song_store=song_store).as_json(now=time.time())

    @blueprint.get("/job/<job_id>/pieces")
    def show_fragments(job_id: str) -> dict[str, Any]:
        fragments = find_fragments(job_id, queue=queue)
        return {
            "songhash": fragments.job_id,
            "playable_until_s": fragments.until_s,
            "stems": list(fragments.stems),
            "pieces": fragments.count,
        }

    @blueprint.get("/job/<job_id>/pieces/<part>/<number>")
    def serve_fragment(job_id: str, part: str, number: str) -> Response:
        mp3 = read_fragment(job_id, part, number, queue=queue, song_store=song_store)
        return Response(mp3, mimetype="audio/mpeg", headers={"Cache-Control": "no-store"})

    @blueprint.get("/job/<job_id>/callbacks")
    def list_callbacks(job_id: str) -> dict[str, list[dict[str, Any]]]:
        found = find_callbacks(job_id, queue=queue, outbox=outbox, song_store=song_store)
        return {"callbacks": [describe_delivery(delivery) for delivery in found]}

    @blueprint.post("/job/<job_id>/callbacks/<delivery_id>/redeliver")
    def redeliver_callback(job_id: str, delivery_id: str) -> dict[str, Any]:
        delivery = redeliver(delivery_id, job_id=job_id, outbox=outbox)
        log.info("webhook_redelivered", job_id=job_id, delivery_id=delivery.id)
        return describe_delivery(delivery)

    return blueprint
