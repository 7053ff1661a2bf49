"""Routes of the queue and of one job: status, fragments, callbacks."""

import time
from typing import Any

from flask import Blueprint, Response, g, request

from msaas.logs import get_logger
from msaas.songs import parse_id
from msaas_rest.api.jobs import listing, waiting
from msaas_rest.api.jobs.callbacks import describe_delivery, find_callbacks, redeliver
from msaas_rest.api.jobs.cancel import cancel_job, parse_cancellation
from msaas_rest.api.jobs.following import follow
from msaas_rest.api.jobs.fragments import describe_fragments, find_fragments, open_fragment
from msaas_rest.api.jobs.links import links_of
from msaas_rest.api.jobs.listing import list_jobs
from msaas_rest.api.jobs.peaks import open_peaks
from msaas_rest.api.jobs.status import find_result, find_status
from msaas_rest.api.jobs.waiting import list_waiting
from msaas_rest.bootstrap import Dependencies
from msaas_rest.http.downloads import send_constant, send_object

log = get_logger()


def routes(deps: Dependencies) -> Blueprint:
    blueprint = Blueprint("jobs", __name__)
    queue, outbox, song_store = deps.queue, deps.outbox, deps.song_store

    @blueprint.get("/queue")
    def list_queue() -> dict[str, Any]:
        return list_waiting(
            waiting.parse_page(request.args), caller=g.caller, queue=queue, registry=deps.registry
        )

    @blueprint.get("/jobs")
    def list_latest() -> dict[str, Any]:
        return list_jobs(
            listing.parse_page(request.args), caller=g.caller, queue=queue, registry=deps.registry
        )

    @blueprint.get("/job/<job_id>")
    def show_job(job_id: str) -> dict[str, Any]:
        status, manifest = find_result(job_id, queue=queue, song_store=song_store)
        links = links_of(
            manifest, status.stems, public_store=deps.public_store, output_bucket=song_store.output_bucket
        )
        return {**status.as_json(now=time.time()), "links": links}

    @blueprint.get("/job/<job_id>/events")
    def follow_job(job_id: str) -> Response:
        status = find_status(job_id, queue=queue, song_store=song_store)
        return follow(status, events=deps.events, client=g.caller.owner)

    @blueprint.delete("/job/<job_id>")
    def cancel(job_id: str) -> dict[str, Any]:
        which = parse_cancellation(request.args, caller=g.caller)
        reply = cancel_job(job_id, which, queue=queue)
        log.info("job_cancellation_accepted", job_id=job_id, state=reply["state"], requests=reply["requests"])
        return reply

    @blueprint.get("/job/<job_id>/pieces")
    def show_fragments(job_id: str) -> dict[str, Any]:
        fragments = find_fragments(job_id, queue=queue)
        return {"songhash": fragments.job_id, **describe_fragments(fragments)}

    @blueprint.get("/job/<job_id>/pieces/<part>/<number>")
    def serve_fragment(job_id: str, part: str, number: str) -> Response:
        mp3 = open_fragment(job_id, part, number, queue=queue, song_store=song_store)
        return send_object(mp3, media_type="audio/mpeg")

    @blueprint.get("/job/<job_id>/peaks/<part>")
    def serve_peaks(job_id: str, part: str) -> Response:
        peaks, sha256 = open_peaks(job_id, part, queue=queue, song_store=song_store)
        media_type = "application/octet-stream"
        if not sha256:
            return send_object(peaks, media_type=media_type)
        return send_constant(request, peaks, media_type=media_type, etag=sha256)

    @blueprint.get("/job/<job_id>/analysis")
    def serve_analysis(job_id: str) -> Response:
        analysis = song_store.open_analysis(parse_id(job_id))
        return send_constant(request, analysis, media_type="application/json", etag=analysis.etag)

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
